"""Resizing of uint8 images by torchvision, always with antialiasing."""

from collections.abc import Sequence
from typing import Literal

import torch

Interpolation = Literal["bilinear", "bicubic"]


def resize_short_side(
    images: torch.Tensor, short_side: int, interpolation: Interpolation
) -> torch.Tensor:
    """Resize (..., H, W) uint8 images to a short side in pixels, keeping the aspect ratio."""
    from torchvision.transforms.v2 import functional

    return functional.resize(images, [short_side], _mode(interpolation), antialias=True)


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
