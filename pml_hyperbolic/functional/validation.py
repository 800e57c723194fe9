"""Argument checks shared by functions, distances, losses and regularizers."""

import math
import operator
from collections.abc import Iterable

import torch

from .reading_waits import reading_waits


def check_curvature(c: float) -> None:
    """Raise ValueError unless ``c`` is a positive finite number."""
    if not _is_positive_number(c):
        raise ValueError(f"curvature c must be a finite number > 0, got {c!r}")


def check_clip_radius(clip_radius: float | None) -> None:
    """Raise ValueError unless ``clip_radius`` is None or a positive finite number."""
    if not (clip_radius is None or _is_positive_number(clip_radius)):
        raise ValueError(f"clip_radius must be a finite number > 0 or None, got {clip_radius!r}")


def check_clip(clip: str, clip_radius: float | None) -> None:
    """Raise ValueError unless ``clip`` is "hard", or "smooth" with a clip radius."""
    if clip not in ("hard", "smooth"):
        raise ValueError(f'clip must be "hard" or "smooth", got {clip!r}')
    if clip == "smooth" and clip_radius is None:
        raise ValueError(
            'clip="smooth" needs a clip_radius, which tangent norms approach: give one, or use '
            'clip="hard", which clips nothing without one'
        )


def check_broadcast(name: str, x: torch.Tensor, y: torch.Tensor) -> None:
    """Raise ValueError, on behalf of ``name``, unless x (..., D) and y (..., D) broadcast."""
    try:
        fits = x.shape[-1] == y.shape[-1] and bool(torch.broadcast_shapes(x.shape, y.shape))
    except (RuntimeError, IndexError):
        fits = False
    if not fits:
        raise ValueError(
            f"{name} takes two tensors of shape (..., D) with one D whose other dimensions "
            f"broadcast, got {tuple(x.shape)} and {tuple(y.shape)}"
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


def distinct_counts(name: str, argument: str, values: Iterable[int]) -> list[int]:
    """The counts as plain ints.

    Raises:
        ValueError: on behalf of ``name``, unless they are distinct integers of at least 1.
    """
    counts = [check_count(name, argument, value) for value in values]
    if len(set(counts)) < len(counts):
        raise ValueError(f"{name} needs distinct values of {argument}, got {counts}")
    return counts


def is_readable(tensor: torch.Tensor) -> bool:
    """Whether Python may branch on the values of ``tensor`` at no cost.

    True on the CPU, except while torch.compile traces or inside transforms of torch.func, where
    there are no values yet.
    """
    return (
        not reading_waits(tensor.device)
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )


def check_finite(name: str, embeddings: torch.Tensor) -> None:
    """Raise ValueError, on behalf of ``name``, for NaN or infinite embeddings (..., D).

    Tensors that are not :func:`is_readable` pass unchecked.
    """
    if not is_readable(embeddings):
        return
    # A sum is finite unless an element is not (or it overflows): one pass, no mask in memory.
    if not torch.isfinite(embeddings.detach().sum()) and not torch.isfinite(embeddings).all():
        is_bad = (~torch.isfinite(embeddings)).any(-1)
        raise ValueError(
            f"{name} got NaN or infinite values in {int(is_bad.sum())} of {is_bad.numel()} "
            f"embeddings, expected finite ones: look for a diverged loss or too large a learning "
            f"rate"
        )


def check_counts(name: str, **counts: int) -> None:
    """Raise ValueError, on behalf of ``name``, unless every argument is an integer >= 1."""
    for argument, value in counts.items():
        check_count(name, argument, value)


def check_positive(name: str, **numbers: float) -> None:
    """Raise ValueError, on behalf of ``name``, unless every argument is a finite number > 0."""
    for argument, value in numbers.items():
        if not (_is_finite_number(value) and value > 0):
            raise ValueError(f"{name} needs a finite {argument} > 0, got {value!r}")


def check_not_negative(name: str, **numbers: float) -> None:
    """Raise ValueError, on behalf of ``name``, unless every argument is a finite number >= 0."""
    for argument, value in numbers.items():
        if not (_is_finite_number(value) and value >= 0):
            raise ValueError(f"{name} needs a finite {argument} >= 0, got {value!r}")


def check_choice(name: str, argument: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError, on behalf of ``name``, unless ``value`` is one of the choices."""
    if value not in choices:
        expected = " or ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"{name} needs {argument} {expected}, got {value!r}")


def check_flag(name: str, argument: str, value: bool) -> bool:
    """The value; raises ValueError, on behalf of ``name``, unless it is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} needs {argument} True or False, got {value!r}")
    return value


def check_instance(name: str, argument: str, value: object, kind: type) -> None:
    """Raise ValueError, on behalf of ``name``, unless ``value`` is a ``kind``."""
    if not isinstance(value, kind):
        raise ValueError(
            f"{name} needs a {kind.__name__} as {argument}, got {type(value).__name__}"
        )


def check_embeddings(name: str, embeddings: torch.Tensor, embedding_size: int) -> None:
    """Raise ValueError, on behalf of ``name``, unless embeddings are (N, embedding_size) floats.

    They must be finite, too; tensors that are not :func:`is_readable` pass unchecked.
    """
    if embeddings.ndim != 2 or embeddings.shape[1] != embedding_size:
        raise ValueError(
            f"{name} was built for embeddings of shape (N, {embedding_size}), "
            f"got {tuple(embeddings.shape)}"
        )
    if not embeddings.is_floating_point():
        raise ValueError(f"{name} needs floating-point embeddings, got {embeddings.dtype}")
    check_finite(name, embeddings)


def required_labels(name: str, labels: torch.Tensor | None) -> torch.Tensor:
    """The labels; raises ValueError, on behalf of ``name``, if there are none."""
    if labels is None:
        raise ValueError(f"{name} needs labels, got None")
    return labels


def check_labels(name: str, labels: torch.Tensor, num_classes: int) -> None:
    """Raise ValueError, on behalf of ``name``, unless labels are integers below ``num_classes``.

    The values of tensors that are not :func:`is_readable` pass unchecked.
    """
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"{name} needs integer labels, got {labels.dtype}")
    if is_readable(labels) and len(labels):
        # torch finds no extremes of wide unsigned integers.
        lowest, highest = map(int, labels.long().aminmax())
        if lowest < 0 or highest >= num_classes:
            raise ValueError(
                f"{name} was built for labels 0 to {num_classes - 1}, "
                f"got labels from {lowest} to {highest}"
            )


def check_maps_tangents(name: str, distance: torch.nn.Module | None) -> None:
    """Raise ValueError if ``name``, whose proxies are tangent vectors, gets one for ball points."""
    if getattr(distance, "inputs", "tangent") == "ball":
        raise ValueError(
            f"{name} keeps its proxies as tangent vectors, which a distance with "
            f'inputs="ball" does not map: use inputs="tangent"'
        )


def _is_positive_number(value):
    """Whether this is a plain number; a tensor, which may be a parameter, would not be trained."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0


def _is_finite_number(value):
    try:
        return not isinstance(value, bool) and math.isfinite(value)
    except TypeError:
        return False
