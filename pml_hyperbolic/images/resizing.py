"""Resizing of uint8 images by torchvision, always with antialiasing."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

Interpolation = Literal["bilinear", "bicubic"]


def resize_short_side(
    images: torch.Tensor, short_side: int, interpolation: Interpolation
) -> torch.Tensor:
    """Resize (..., H, W) uint8 images to a short side in pixels, keeping the aspect ratio."""
    from torchvision.transforms.v2 import functional

    return functional.resize(images, [short_side], _mode(interpolation), antialias=True)


def reduce_short_side(
    image: np.ndarray, short_side: int | None, interpolation: Interpolation
) -> np.ndarray:
    """Resize a (C, H, W) uint8 image whose short side is larger; return others as they are.

    Args:
        image: the image.
        short_side: in pixels; None leaves every image as it is.
        interpolation: "bilinear" or "bicubic".
    """
    if short_side is None or min(image.shape[1:]) <= short_side:
        return image
    # torch warns about memory that it must not write to.
    image = np.require(image, requirements=("C", "W"))
    return resize_short_side(torch.from_numpy(image), short_side, interpolation).numpy()


def resized_crop(
    image: torch.Tensor, box: Sequence[int], size: Sequence[int], interpolation: Interpolation
) -> torch.Tensor:
    """Crop ``box`` (top, left, height, width) from a (C, H, W) uint8 image and resize it."""
    from torchvision.transforms.v2 import functional

    top, left, height, width = box
    return functional.resized_crop(
        image, top, left, height, width, list(size), _mode(interpolation), antialias=True
    )


def _mode(interpolation):
    from torchvision.transforms.v2 import InterpolationMode

    return InterpolationMode(interpolation)
