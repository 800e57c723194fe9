"""Decode image files to arrays."""

import io
import re
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    import PIL.Image

# Names that end so are images.
IMAGE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".gif",
    ".pgm",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
_MODES = {1: "L", 3: "RGB"}


def decode_image(
    content: bytes, name: str, *, channels: int = 3, size: int | None = None
) -> np.ndarray:
    """Decode an image file of any colour mode.

    The orientation recorded by the camera (EXIF) is applied, because viewers apply it and photos
    taken by phone would lie on their sides otherwise. Transparent pixels become white.

    Args:
        content: of the file.
        name: of the file, for messages.
        channels: 3 (red, green, blue) or 1 (grey). Default 3.
        size: height and width in pixels to resize to, with antialiasing. Default: as stored.

    Returns:
        (channels, height, width) uint8.

    Raises:
        InputError: the file is not an image or is damaged.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as stored:
            return image_pixels(stored, channels=channels, size=size)
    # Pillow's decoders raise exceptions of many kinds for damaged files.
    except Exception as error:
        # Pillow names the stream by its memory address.
        reason = re.sub(r"<.*?>", "it", " ".join(str(error).split()))
        raise InputError(
            f"{name} cannot be read as an image ({reason}): replace it with an undamaged copy"
        ) from error


def image_pixels(
    image: "PIL.Image.Image", *, channels: int = 3, size: int | None = None
) -> np.ndarray:
    """Convert a PIL image of any colour mode as :func:`decode_image` does.

    Args:
        image: left as it is.
        channels, size: as :func:`decode_image`.

    Returns:
        (channels, height, width) uint8.
    """
    from PIL import Image, ImageOps

    image = _converted(ImageOps.exif_transpose(image), _MODES[channels])
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.array(image)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _converted(image, mode):
    from PIL import Image

    if image.mode.startswith("I"):
        # 16-bit grey, which Pillow's versions convert differently.
        image = Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
