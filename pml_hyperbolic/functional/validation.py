"""Argument checks shared by functions, distances, losses and regularizers."""

import math
import operator

import torch


def check_curvature(c: float) -> None:
    """Raise ValueError unless ``c`` is a positive finite number."""
    is_number = isinstance(c, (int, float)) and not isinstance(c, bool)
    if not (is_number and math.isfinite(c) and c > 0):
        raise ValueError(f"curvature c must be a finite number > 0, got {c!r}")


def check_clip_radius(clip_radius: float | None) -> None:
    """Raise ValueError unless ``clip_radius`` is None or a positive finite number."""
    if clip_radius is not None and not (
        isinstance(clip_radius, (int, float)) and math.isfinite(clip_radius) and clip_radius > 0
    ):
        raise ValueError(f"clip_radius must be a finite number > 0 or None, got {clip_radius!r}")


def check_broadcast(name: str, x: torch.Tensor, y: torch.Tensor) -> None:
    """Raise ValueError, on behalf of ``name``, unless x (..., D) and y (..., D) broadcast."""
    try:
        fits = x.shape[-1] == y.shape[-1] and bool(torch.broadcast_shapes(x.shape, y.shape))
    except (RuntimeError, IndexError):
        fits = False
    if not fits:
        raise ValueError(
            f"{name} takes points (..., D) of one D whose other dimensions broadcast, "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )


def check_count(name: str, argument: str, value: int) -> int:
    """A count as a plain int; NumPy's integers are counts too, True and False are not.

    Raises:
        ValueError: on behalf of ``name``, unless ``value`` is an integer of at least 1.
    """
    try:
        count = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"{name} needs an integer {argument} >= 1, got {value!r}")
    return count


def check_finite(name: str, embeddings: torch.Tensor) -> None:
    """Raise ValueError, on behalf of ``name``, for NaN or infinite embeddings (N, D).

    Looks at CPU tensors only: on CUDA a look would synchronise every step.
    """
    if embeddings.device.type != "cpu" or torch.compiler.is_compiling():
        return
    # A sum is finite unless an element is not (or it overflows): one pass, no mask in memory.
    if not torch.isfinite(embeddings.detach().sum()) and not torch.isfinite(embeddings).all():
        bad = int((~torch.isfinite(embeddings)).any(-1).sum())
        raise ValueError(
            f"{name} got NaN or infinite values in {bad} of {len(embeddings)} embeddings, "
            f"expected finite ones: look for a diverged loss or too large a learning rate"
        )
