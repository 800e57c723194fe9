"""How large images, files and archives may be, so that a small file cannot fill the memory."""

import math
import os
from pathlib import Path

from ..errors import InputError
from ..unpacked_size import HARMLESS_SIZE, LARGEST_RATIO

MEGAPIXELS_VARIABLE = "PML_HYPERBOLIC_MAX_MEGAPIXELS"
# Our choice: the largest sensors of common cameras have about 50 megapixels.
DEFAULT_MEGAPIXELS = 50
# An image of 16-bit red, green, blue and alpha that is not compressed has so many, and a header.
_BYTES_PER_PIXEL = 8
_HEADER = 2**20


def largest_image() -> int:
    """Return the largest number of pixels that an image may have.

    It is the number of megapixels in the environment variable PML_HYPERBOLIC_MAX_MEGAPIXELS, by
    default 50.

    Raises:
        InputError: the variable is not a positive number.
    """
    text = os.environ.get(MEGAPIXELS_VARIABLE) or str(DEFAULT_MEGAPIXELS)
    try:
        megapixels = float(text)
    except ValueError:
        megapixels = math.nan
    if not 0 < megapixels < math.inf:
        raise InputError(
            f"the environment variable {MEGAPIXELS_VARIABLE} is {text!r}: expected a positive "
            f"number of megapixels, such as {DEFAULT_MEGAPIXELS}"
        )
    return round(megapixels * 1e6)


def check_image_size(name: str, width: int, height: int) -> None:
    """Refuse an image of more pixels than allowed, before it is decoded.

    Args:
        name: of the file, for the message.
        width, height: in pixels.

    Raises:
        InputError: it is too large.
    """
    limit = largest_image()
    if width * height > limit:
        raise InputError(
            f"{name} has {width:,} x {height:,} pixels, {width * height / 1e6:,.0f} megapixels, "
            f"and the limit is {limit / 1e6:g}: make it smaller, or raise the limit in the "
            f"environment variable {MEGAPIXELS_VARIABLE}"
        )


def check_file_size(name: str, size: int) -> None:
    """Refuse a file that is larger than any image within the limit, before it is read.

    Args:
        name: of the file, for the message.
        size: in bytes, unpacked.

    Raises:
        InputError: it is too large.
    """
    limit = largest_image()
    if size > _BYTES_PER_PIXEL * limit + _HEADER:
        raise InputError(
            f"{name} has {size:,} bytes, and an image of {limit / 1e6:g} megapixels, the limit, "
            f"has at most {_BYTES_PER_PIXEL * limit + _HEADER:,}: replace it, or raise the limit "
            f"in the environment variable {MEGAPIXELS_VARIABLE}"
        )


class UnpackedSize:
    """The size of what an archive unpacks to, compared with the space and with the archive.

    Args:
        path: of the archive.
        space: bytes that are free where it is unpacked to.
    """

    # Every file takes at least a block.
    _BLOCK = 4096
    # Some room stays for others.
    _SHARE = 0.95

    def __init__(self, path: Path, space: int):
        self.path = path
        self._by_space = int(self._SHARE * space)
        self._by_ratio = max(HARMLESS_SIZE, LARGEST_RATIO * path.stat().st_size)
        self._size = 0

    def add(self, size: int) -> None:
        """Count a member of so many bytes, before it is written.

        Raises:
            InputError: there is no space for it, or the archive is far too small for what it
                unpacks to.
        """
        self._size += -(-max(size, 1) // self._BLOCK) * self._BLOCK
        if self._size > self._by_ratio:
            raise InputError(
                f"{self.path} would unpack to more than {self._by_ratio:,} bytes, which is out of "
                f"proportion to its own size: nothing was unpacked; download the official archive, "
                f"or unpack it yourself and give the folder"
            )
        if self._size > self._by_space:
            raise InputError(
                f"{self.path} unpacks to more than the {self._by_space:,} bytes that there is room "
                f"for: nothing was unpacked; free some space, or name a folder with room for it as "
                f"unpacked"
            )
