"""torchvision's resizing of uint8 images, always with antialiasing."""

from collections.abc import Sequence

import torch


def resize_short_side(images: torch.Tensor, short_side: int, interpolation: str) -> torch.Tensor:
    """(..., H, W) uint8 images with this short side, the aspect ratio kept."""
    from torchvision.transforms.v2 import functional

    return functional.resize(images, [short_side], _mode(interpolation), antialias=True)


def resized_crop(
    image: torch.Tensor, box: Sequence[int], size: Sequence[int], interpolation: str
) -> torch.Tensor:
    """The crop ``box`` (top, left, height, width) of a (C, H, W) uint8 image, resized."""
    from torchvision.transforms.v2 import functional

    return functional.resized_crop(image, *box, list(size), _mode(interpolation), antialias=True)


def _mode(interpolation):
    from torchvision.transforms.v2 import InterpolationMode

    return InterpolationMode(interpolation)
