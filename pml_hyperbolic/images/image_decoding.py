"""Decode image files to arrays."""

import io
import re
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, message_of
from ..file_kinds import kind_of
from .limits import check_image_size

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
# Formats of Pillow that are read, whatever a file is called; EPS, for one, would start Ghostscript.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MODES = {1: "L", 3: "RGB"}
_PREFIX = 16


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
        InputError: the file is not an image of one of ``FORMATS``, has more pixels than allowed
            (:func:`~pml_hyperbolic.images.limits.largest_image`) or values that are not those of
            pixels, or is damaged.
    """
    try:
        with _opened(content, name) as stored:
            check_image_size(name, *stored.size)
            _check_values(stored, name)
            return image_pixels(stored, channels=channels, size=size)
    except InputError:
        raise
    # Pillow's decoders raise exceptions of many kinds for damaged files.
    except Exception as error:
        # Pillow names the stream by its memory address.
        reason = re.sub(r"<.*?>", "it", message_of(error))
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


def _opened(content, name):
    """Open an image, of which nothing but the header is read.

    Image.open would warn of large images before their size could be compared with our limit, and
    cannot be told not to without changing a setting of the whole process.
    """
    from PIL import Image

    Image.init()
    for form in FORMATS:
        factory, accept = Image.OPEN[form]
        if accept is None or accept(content[:_PREFIX]) is True:
            return factory(io.BytesIO(content), "")
    kind, formats = kind_of(content), ", ".join(FORMATS)
    if kind is None or kind.split()[1].upper() in FORMATS:
        raise InputError(
            f"{name} cannot be read as an image (it does not begin as one): replace it with an "
            f"undamaged copy in one of the formats {formats}"
        )
    raise InputError(
        f"{name} cannot be read as an image (it is {kind}): convert it to one of the formats "
        f"{formats}"
    )


def _check_values(image, name):
    """Refuse numbers that are no pixels: Pillow would cut them off at 0 and 255."""
    if image.mode == "F":
        raise InputError(
            f"{name} holds floating-point numbers, not pixels: convert it to 8 or 16 bits, in the "
            f"range that shows what you want to see"
        )
    if image.mode == "I":
        low, high = image.getextrema()
        if low < 0 or high >= 2**16:
            raise InputError(
                f"{name} holds integers from {low} to {high}, not pixels of 8 or 16 bits: convert "
                f"it to one of these"
            )


def _converted(image, mode):
    from PIL import Image

    if image.mode.startswith("I"):
        # 16-bit grey, which Pillow's versions convert differently.
        image = Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
