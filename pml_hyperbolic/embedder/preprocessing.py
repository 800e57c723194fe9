"""Preprocessing: from any image to the backbone's input, exactly as a run's evaluation does it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import InputError
from ..images import ImageTransform, InputSize
from ..images.image_decoding import decode_image, image_pixels
from ..images.resizing import Interpolation, reduce_short_side

if TYPE_CHECKING:
    import PIL.Image


@dataclass(frozen=True)
class Preprocessing:
    """How images become the backbone's input.

    Args:
        channels: of the backbone's input, >= 1; 1 is grey, 3 is red, green and blue.
        mean, std: pixels in [0, 1] less ``mean``, divided by ``std``; a number, or one a channel.
        stored_size: height and width that every image is resized to when it is read. Default: its
            own.
        short_side: the short side is then resized to this, with antialiasing. Default: unchanged.
        size: height and width of the centre crop of that. Default, together with ``short_side``:
            images as they are, which must all be of one size.
        interpolation: of resizing, "bilinear" (default) or "bicubic".

    Raises:
        InputError: an argument is out of range.
    """

    channels: int
    mean: float | Sequence[float]
    std: float | Sequence[float]
    stored_size: int | None = None
    short_side: int | None = None
    size: int | None = None
    interpolation: Interpolation = "bilinear"

    def __post_init__(self):
        for name in ("channels", "stored_size", "short_side", "size"):
            value = getattr(self, name)
            optional = name != "channels" and value is None
            if not optional and not (type(value) is int and value >= 1):
                raise InputError(f"preprocessing.{name} must be an integer >= 1, got {value!r}")
        size, short_side = self.size, self.short_side
        fits = size is short_side if size is None or short_side is None else size <= short_side
        if not fits:
            raise InputError(
                f"preprocessing needs both size and short_side >= size, or neither, got "
                f"{self.size} and {self.short_side}"
            )
        if self.interpolation not in ("bilinear", "bicubic"):
            raise InputError(
                f"preprocessing.interpolation must be bilinear or bicubic, got "
                f"{self.interpolation!r}"
            )
        for name in ("mean", "std"):
            value = getattr(self, name)
            values = value if isinstance(value, (list, tuple)) else [value]
            numbers = all(type(v) in (int, float) and math.isfinite(v) for v in values)
            if (
                not numbers
                or len(values) not in (1, self.channels)
                or (name == "std" and 0 in values)
            ):
                raise InputError(
                    f"preprocessing.{name} must be a finite number or one for each of "
                    f"{self.channels} channels{', none of them 0' if name == 'std' else ''}, got "
                    f"{value!r}"
                )

    def read(self, content: bytes, name: str) -> np.ndarray:
        """Return the pixels (channels, H, W) uint8 of an encoded image.

        Raises:
            InputError: the content is not an image or is damaged.
        """
        self._check_convertible(name)
        return self._reduced(
            decode_image(content, name, channels=self.channels, size=self.stored_size)
        )

    def from_pil(self, image: "PIL.Image.Image", name: str) -> np.ndarray:
        """Return the pixels (channels, H, W) uint8 of a PIL image."""
        self._check_convertible(name)
        return self._reduced(image_pixels(image, channels=self.channels, size=self.stored_size))

    def from_array(self, array: np.ndarray, name: str) -> np.ndarray:
        """Return the pixels (channels, H, W) uint8 of an array (H, W) or (H, W, 1, 3 or 4).

        Grey, colour and transparent images are converted as files are. An array (H, W, channels)
        is taken as it is.

        Raises:
            InputError: another dtype or shape.
        """
        import PIL.Image

        array = array[..., None] if array.ndim == 2 else array
        channels = array.shape[-1] if array.ndim == 3 else 0
        if array.dtype != np.uint8 or channels not in {1, 3, 4, self.channels} or 0 in array.shape:
            raise InputError(
                f"{name} is an array of {array.dtype} of shape {array.shape}: expected uint8 "
                f"(H, W), (H, W, 3) or (H, W, 4); images as (C, H, W) must be torch tensors"
            )
        resized = self.stored_size is not None and array.shape[:2] != (self.stored_size,) * 2
        if channels == self.channels and not resized:
            return self._reduced(np.ascontiguousarray(array.transpose(2, 0, 1)))
        image = PIL.Image.fromarray(array[..., 0] if channels == 1 else array)
        return self.from_pil(image, name)

    def from_tensor(self, tensor: torch.Tensor, name: str) -> np.ndarray:
        """Return the pixels (channels, H, W) uint8 of a tensor (C, H, W), uint8 or float in [0, 1].

        Floats are rounded to the 256 levels of a stored image.

        Raises:
            InputError: another dtype, shape or range.
        """
        if tensor.ndim != 3:
            raise InputError(
                f"{name} is a tensor of shape {tuple(tensor.shape)}: expected (C, H, W)"
            )
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.float()
            # NaN fails both comparisons.
            if not ((tensor >= 0) & (tensor <= 1)).all():
                raise InputError(
                    f"{name} is a tensor of values outside [0, 1]: give pixels in [0, 1] or uint8, "
                    f"without normalisation, which happens here"
                )
            tensor = tensor.mul(255).round().to(torch.uint8)
        if tensor.dtype != torch.uint8:
            raise InputError(
                f"{name} is a tensor of {tensor.dtype}: expected uint8, or floats in [0, 1]"
            )
        return self.from_array(tensor.permute(1, 2, 0).numpy(), name)

    def batch(self, images: Sequence[np.ndarray], device: torch.device) -> torch.Tensor:
        """Return the backbone's input (B, channels, H, W) float32 for pixels of these methods."""
        pixels = [torch.from_numpy(image) for image in images]
        if all(one.shape == pixels[0].shape for one in pixels):
            batch: torch.Tensor | list[torch.Tensor] = torch.stack(pixels).to(device)
        else:
            batch = [one.to(device) for one in pixels]
        size = None
        if self.size is not None:
            size = InputSize(self.size, self.short_side, self.interpolation)
        return ImageTransform(self.mean, self.std, input_size=size, device=device)(batch)

    def _reduced(self, pixels):
        """Reduce large images to their short side, so that a batch of photos takes less memory."""
        return reduce_short_side(pixels, self.short_side, self.interpolation)

    def _check_convertible(self, name):
        if self.channels not in (1, 3):
            raise InputError(
                f"{name}: this model takes images of {self.channels} channels, which no image file "
                f"has: give tensors ({self.channels}, H, W)"
            )
