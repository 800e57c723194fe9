"""Encoded images to arrays."""

import io
import re

import numpy as np

from ..errors import InputError

_MODES = {1: "L", 3: "RGB"}


def decode_image(
    content: bytes, name: str, *, channels: int = 3, size: int | None = None
) -> np.ndarray:
    """An image file as an array, whatever its colours were.

    The orientation that a camera noted (EXIF) is applied: an image is what viewers show, and
    photos taken by phone would lie on their side otherwise. Transparent pixels become white.

    Args:
        content: of the file.
        name: of the file, for messages.
        channels: 3 (red, green, blue) or 1 (grey). Default 3.
        size: height and width to resize to, antialiased. Default: as stored.

    Returns:
        (channels, height, width) uint8.

    Raises:
        InputError: the file is not an image or is damaged.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content)) as stored:
            image = _converted(ImageOps.exif_transpose(stored), _MODES[channels])
    # Damaged files raise whatever PIL's many decoders meet.
    except Exception as error:
        # PIL names the stream by its address.
        reason = re.sub(r"<.*?>", "it", " ".join(str(error).split()))
        raise InputError(
            f"{name} cannot be read as an image ({reason}): replace it by an undamaged copy"
        ) from error
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.array(image)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _converted(image, mode):
    from PIL import Image

    if image.mode.startswith("I"):
        # 16-bit grey, which PIL's versions convert differently.
        image = Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
