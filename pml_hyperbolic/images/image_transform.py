"""ImageTransform: from decoded images to a network's input, a batch at a time on its device."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..utils.transfer import to_device
from .augmentation import Augmentation
from .input_size import InputSize
from .resizing import resize_short_side, resized_crop

# Number of tries that torchvision's RandomResizedCrop makes before it takes the centre.
_CROP_TRIES = 10
_NO_AUGMENTATION = Augmentation()


class Draws(NamedTuple):
    """The random numbers of one batch, on the CPU; None where nothing is drawn.

    Attributes:
        boxes: (B, 4) int64, top, left, height and width of each crop in pixels.
        shifts: (2, B, 1) int64, rows and columns in pixels, from 0 to twice the largest shift.
        flips: (B,) bool.
    """

    boxes: torch.Tensor | None = None
    shifts: torch.Tensor | None = None
    flips: torch.Tensor | None = None

    def rows(self, part: slice) -> "Draws":
        """Select the random numbers of some images of the batch."""
        boxes, shifts, flips = self
        return Draws(
            None if boxes is None else boxes[part],
            None if shifts is None else shifts[:, part],
            None if flips is None else flips[part],
        )


_NO_DRAWS = Draws()


class ImageTransform:
    """Crop and resize, normalise, shift and flip images.

    Args:
        mean, std: of the network's input with pixels scaled to [0, 1], one number per channel or
            one for all channels.
        input_size: how images are brought to one size. Default: they keep their size.
        augmentation: what is drawn at random. Default: nothing.
        device: of the network. Default "cpu".
    """

    def __init__(
        self,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        *,
        input_size: InputSize | None = None,
        augmentation: Augmentation = _NO_AUGMENTATION,
        device: torch.device | str = "cpu",
    ):
        self.device = torch.device(device)
        self.mean, self.std = (
            torch.as_tensor(value, dtype=torch.float32).reshape(-1, 1, 1).to(self.device)
            for value in (mean, std)
        )
        self.input_size = input_size
        self.augmentation = augmentation

    def draw(self, sizes: np.ndarray, generator: torch.Generator) -> Draws:
        """Draw the random numbers for a batch of images of these (B, 3) sizes.

        How many numbers are drawn depends on the number of images alone.
        """
        count, chosen = len(sizes), self.augmentation
        boxes = shifts = flips = None
        if chosen.random_crop is not None:
            crop = chosen.random_crop
            uniform = torch.rand(count, _CROP_TRIES, 4, generator=generator, dtype=torch.float64)
            boxes = crop_boxes(uniform, torch.from_numpy(sizes), crop.scale, crop.ratio)
        if chosen.random_shift:
            shifts = torch.randint(
                0, 2 * chosen.random_shift + 1, (2, count, 1), generator=generator
            )
        if chosen.horizontal_flip:
            flips = torch.rand(count, generator=generator) < 0.5
        return Draws(boxes, shifts, flips)

    def __call__(
        self, images: torch.Tensor | list[torch.Tensor], draws: Draws = _NO_DRAWS
    ) -> torch.Tensor:
        """Transform uint8 images, (B, C, H, W) or a list of (C, H, W), to (B, C, H, W) float32."""
        inputs = self._resized(images, draws.boxes).float().div_(255)
        inputs = (inputs - self.mean) / self.std
        if draws.shifts is not None:
            inputs = _shifted(
                inputs, to_device(draws.shifts, self.device), self.augmentation.random_shift
            )
        if draws.flips is not None:
            flips = to_device(draws.flips, self.device)[:, None, None, None]
            inputs = torch.where(flips, inputs.flip(-1), inputs)
        return inputs

    def _resized(self, images, boxes) -> torch.Tensor:
        target = self.input_size
        if boxes is not None:
            size = images[0].shape[-2:] if target is None else (target.size, target.size)
            interpolation = "bilinear" if target is None else target.interpolation
            return torch.stack(
                [
                    resized_crop(one, box, size, interpolation)
                    for one, box in zip(images, boxes.tolist(), strict=True)
                ]
            )
        if target is None:
            return images if torch.is_tensor(images) else torch.stack(images)
        if torch.is_tensor(images):
            return _centre_crop(images, target)
        return torch.stack([_centre_crop(one, target) for one in images])


def crop_boxes(
    uniform: torch.Tensor, sizes: torch.Tensor, scale: Sequence[float], ratio: Sequence[float]
) -> torch.Tensor:
    """Compute the crops of torchvision's RandomResizedCrop from uniform random numbers.

    Args:
        uniform: (B, tries, 4) float64 numbers in [0, 1): area, ratio, top and left of each try.
            The first try whose crop lies within the image is taken; if there is none, the largest
            centred crop whose ratio is within the range is taken.
        sizes: (B, 3) int64, channels, height and width of each image.
        scale: smallest and largest share of the image's area.
        ratio: smallest and largest width / height.

    Returns:
        (B, 4) int64, top, left, height and width of each crop in pixels.
    """
    height, width = sizes[:, 1:2].double(), sizes[:, 2:3].double()
    area = height * width * (scale[0] + (scale[1] - scale[0]) * uniform[..., 0])
    low, high = np.log(ratio[0]), np.log(ratio[1])
    aspect = torch.exp(low + (high - low) * uniform[..., 1])
    high_crop, wide_crop = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    fits = (high_crop > 0) & (high_crop <= height) & (wide_crop > 0) & (wide_crop <= width)
    first = fits.int().argmax(1, keepdim=True)
    high_crop, wide_crop = high_crop.gather(1, first), wide_crop.gather(1, first)
    top = (uniform[..., 2].gather(1, first) * (height - high_crop + 1)).floor()
    left = (uniform[..., 3].gather(1, first) * (width - wide_crop + 1)).floor()
    boxes = torch.cat([top, left, high_crop, wide_crop], 1)

    high_centre = torch.minimum(height, (width / ratio[0]).round())
    wide_centre = torch.minimum(width, (height * ratio[1]).round())
    centre = torch.cat(
        [
            ((height - high_centre) / 2).floor(),
            ((width - wide_centre) / 2).floor(),
            high_centre,
            wide_centre,
        ],
        1,
    )
    return torch.where(fits.any(1, keepdim=True), boxes, centre).long()


def _centre_crop(images, target):
    from torchvision.transforms.v2 import functional

    images = resize_short_side(images, target.resized_side, target.interpolation)
    return functional.center_crop(images, [target.size, target.size])


def _shifted(images, shifts, reach):
    """Move images by ``shifts - reach`` pixels and repeat their borders."""
    height, width = images.shape[-2:]
    device = images.device
    rows = (shifts[0] - reach + torch.arange(height, device=device)).clamp(0, height - 1)
    columns = (shifts[1] - reach + torch.arange(width, device=device)).clamp(0, width - 1)
    count, channels = images.shape[:2]
    return images[
        torch.arange(count, device=device)[:, None, None, None],
        torch.arange(channels, device=device)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]
