"""Limits of what a stranger's file may unpack to."""

import os
import zipfile
from typing import BinaryIO

# Our choice: arrays hardly shrink, and what unpacks to less fills no memory.
LARGEST_RATIO = 100
HARMLESS_SIZE = 2**30


def check_unpacked_size(file: BinaryIO) -> None:
    """Refuse an ``.npz`` or a file of torch that is far too small for what it unpacks to.

    Args:
        file: open for reading; its position is the start afterwards.

    Raises:
        ValueError: it would unpack to more than 1 GiB and more than 100 times its own size.
        zipfile.BadZipFile: it is a damaged zip.
    """
    file.seek(0)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        check_ratio(unpacked, file.seek(0, os.SEEK_END))
    file.seek(0)


def check_ratio(unpacked: int, size: int) -> None:
    """Refuse what is far too small for what it unpacks to.

    Args:
        unpacked: the size of what it holds, in bytes.
        size: its own size, in bytes.

    Raises:
        ValueError: as :func:`check_unpacked_size`.
    """
    if unpacked > max(HARMLESS_SIZE, LARGEST_RATIO * size):
        raise ValueError(
            f"it would unpack to {unpacked:,} bytes, out of proportion to its own {size:,}; write "
            f"it without compression if it is yours"
        )
