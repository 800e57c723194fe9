"""Augmentation: what is drawn at random for each training image."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RandomCrop:
    """Ranges of torchvision's RandomResizedCrop.

    Args:
        scale: smallest and largest share of the image's area, within (0, 1]. Default (0.2, 1.0).
        ratio: smallest and largest width / height, > 0. Default (3/4, 4/3), torchvision's.

    Raises:
        ValueError: a range is empty or exceeds its bounds.
    """

    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (0.75, 4 / 3)

    def __post_init__(self):
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must satisfy 0 < smallest <= largest <= 1, got {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio must satisfy 0 < smallest <= largest, got {self.ratio}")


@dataclass(frozen=True)
class Augmentation:
    """Random transformations of an image; by default there are none.

    Args:
        random_crop: crop a random part of the image and resize it. Default: no crop.
        random_shift: largest shift in either direction, in pixels, >= 0. Default 0.
        horizontal_flip: mirror every other image on average. Default False.

    Raises:
        ValueError: ``random_shift`` is negative.
    """

    random_crop: RandomCrop | None = None
    random_shift: int = 0
    horizontal_flip: bool = False

    def __post_init__(self):
        if self.random_shift < 0:
            raise ValueError(f"random_shift must be at least 0, got {self.random_shift}")
