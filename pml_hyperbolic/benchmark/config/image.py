"""Images: the size that the backbone sees, and the augmentation of training images."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .strict_model import Count, Range, StrictModel


class ImageConfig(StrictModel):
    """The backbone's input: the short side resized to ``resize``, then a centre crop of ``size``.

    ``resize`` is ``size`` by default. Decoded images are kept with a short side of ``resize``, or
    less where they are smaller, and random crops are taken from these.
    """

    size: Count
    resize: Count | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    @model_validator(mode="after")
    def _crop_fits(self):
        if self.resize is not None and self.resize < self.size:
            raise ValueError(
                f"resize ({self.resize}) must not be below size ({self.size}), or the centre crop "
                f"would be larger than the image: raise it, or leave it out"
            )
        return self

    @property
    def short_side(self) -> int:
        """The short side of the image that the centre crop is taken from."""
        return self.size if self.resize is None else self.resize


class RandomResizedCropConfig(StrictModel):
    """torchvision's RandomResizedCrop: the ranges of the crop's share of the area and aspect ratio.

    The aspect ratio is width / height.
    """

    scale: Range = Field([0.2, 1.0])
    ratio: Range = Field([0.75, 4 / 3])

    @model_validator(mode="after")
    def _at_most_the_image(self):
        if self.scale[1] > 1:
            raise ValueError(
                f"scale is a share of the image's area, at most 1, got {self.scale}: lower it"
            )
        return self


class AugmentationConfig(StrictModel):
    """Augmentation of training images. By default there is none."""

    random_resized_crop: RandomResizedCropConfig | None = None
    random_shift: Annotated[int, Field(ge=0)] = 0
    horizontal_flip: bool = False
