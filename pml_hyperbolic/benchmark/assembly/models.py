"""The two networks of a run: the trunk (a backbone) and the embedder (a head)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...backbones import BACKBONES, Backbone, to_trunk_device
from ...errors import InputError, message_of
from ...heads import HyperbolicEmbedder, TwoSpaceEmbedder
from ...images import InputSize
from ..config import ImageConfig
from .registry import from_registry

Spec = Mapping[str, Mapping[str, Any]]


def choose_device(name: str) -> torch.device:
    """Return the device of a protocol; "auto" is CUDA if there is a CUDA device.

    Raises:
        InputError: "cuda" on a machine that has no CUDA device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("protocol.device is cuda, but torch finds no CUDA device: use auto or cpu")
    return torch.device(name)


def build_trunk(spec: Spec, in_channels: int, device: torch.device) -> Backbone:
    """Build the backbone that a protocol names, on its device.

    Args:
        spec: ``{name: arguments}``.
        in_channels: channels of the images, or dimension of the features.
        device: of the run.

    Raises:
        InputError: an unknown name or argument, or the backbone does not take its arguments.
    """
    trunk = from_registry(
        BACKBONES, "backbone", spec, "protocol.backbone", fill={"in_channels": in_channels}
    )
    return to_trunk_device(trunk, device)


def check_trunk(trunk: Backbone, spec: Spec, inputs: torch.Tensor) -> None:
    """Check that a backbone takes this input, before anything is trained.

    Args:
        trunk: the backbone; it is left in evaluation mode.
        spec: ``{name: arguments}``, for messages.
        inputs: a batch of one, on the backbone's device.

    Raises:
        InputError: the backbone fails, or its output is not (1, ``trunk.out_features``).
    """
    (name,) = spec
    size = " x ".join(map(str, inputs.shape[1:]))
    try:
        # In evaluation mode nothing is drawn, and statistics of batch norm do not change.
        with torch.no_grad():
            features = trunk.eval()(inputs)
    # timm asserts, torch raises RuntimeError.
    except Exception as error:
        if inputs.ndim == 2:
            raise InputError(
                f"protocol.backbone: {name} takes images, and the data are features of {size} "
                f"dimensions: use backbone: identity"
            ) from error
        reason = message_of(error)
        raise InputError(
            f"protocol.backbone: {name} does not take input of size {size} ({reason}): set "
            f"protocol.image.size, or choose another backbone"
        ) from error
    if features.shape != (1, trunk.out_features):
        raise InputError(
            f"protocol.backbone: {name} returns {tuple(features.shape[1:])} for input of size "
            f"{size}, expected {trunk.out_features} features: choose another backbone"
        )


def input_size(config: ImageConfig | None) -> InputSize | None:
    """Return how images are brought to the trunk's input size, None if they keep theirs."""
    if config is None:
        return None
    return InputSize(config.size, config.resize, config.interpolation)


def space_sizes(
    embedding_size: int, spaces: Sequence[str], name: str, *, equal_total: bool = True
) -> dict[str, int]:
    """Return the dimension of each space, in the order of the spaces.

    Args:
        embedding_size: of the protocol.
        spaces: of a method.
        name: of the method, for messages.
        equal_total: divide ``embedding_size`` equally between the spaces (default); otherwise each
            space gets all of it.

    Raises:
        InputError: the embedding cannot be divided equally.
    """
    if not equal_total:
        return dict.fromkeys(spaces, embedding_size)
    if embedding_size % len(spaces):
        raise InputError(
            f"{name}: protocol.embedding_size {embedding_size} cannot be shared equally by "
            f"{len(spaces)} spaces: choose a multiple of {len(spaces)}, or give each space all of "
            f"it with protocol.equal_total_dimension=false"
        )
    return dict.fromkeys(spaces, embedding_size // len(spaces))


def build_embedder(
    in_features: int,
    sizes: Mapping[str, int],
    initial_radius: float | None,
    *,
    layer_norm: bool = True,
) -> torch.nn.Module:
    """Build the head of a method.

    Args:
        in_features: output dimension of the trunk.
        sizes: dimension of each space, as :func:`space_sizes`.
        initial_radius: initial mean tangent norm of the hyperbolic space, or None.
        layer_norm: whether a LayerNorm comes before the linear layer. Default True.
    """
    if len(sizes) == 1:
        (size,) = sizes.values()
        return HyperbolicEmbedder(
            in_features, size, initial_radius=initial_radius, layer_norm=layer_norm
        )
    return TwoSpaceEmbedder(
        in_features,
        sizes["euclidean"],
        sizes["hyperbolic"],
        initial_radius=initial_radius,
        layer_norm=layer_norm,
    )
