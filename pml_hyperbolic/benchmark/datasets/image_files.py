"""ImageFiles: a data set whose images are files of an official release."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..errors import InputError
from .image_archive import ImageArchive
from .image_data import ImageData
from .image_decoding import decode_image


class ImageFiles(ImageData):
    """Images read from files when they are asked for.

    Attributes:
        layout: what a root folder or archive holds, for messages.
        source: where the data set officially comes from, for messages.
        official_counts: how many of what the official release has, by a plural noun.
        entries: N pairs of archive and name in it.
        resize_to: height and width that images are resized to; None leaves them as stored.
    """

    layout: str
    source: str
    official_counts: Mapping[str, int]
    image_shape = (3, None, None)
    entries: list[tuple[ImageArchive, str]]
    resize_to: int | None = None

    def image(self, index: int) -> np.ndarray:
        archive, name = self.entries[index]
        return decode_image(
            archive.read(name),
            archive.where(name),
            channels=self.image_shape[0],
            size=self.resize_to,
        )

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def missing(cls, root: str | Path, what: str) -> InputError:
        """The error that says what a root lacks, what belongs there, and where it comes from."""
        return InputError(f"{root}: {what}; expected {cls.layout}, from {cls.source}")

    def check_counts(self, root: str | Path, found: Mapping[str, int]) -> None:
        """Refuse what is not the whole official release.

        Raises:
            InputError: counts differ from ``official_counts``.
        """
        if dict(found) != dict(self.official_counts):
            raise InputError(
                f"{root}: {type(self).__name__} has {_in_words(self.official_counts)}, found "
                f"{_in_words(found)}: get it whole from {self.source}, or set verify: false to "
                f"use a part of it"
            )

    @classmethod
    def check_listed(cls, root: str | Path, listed: Iterable[str], present: set[str]) -> None:
        """Refuse a release whose lists name files that are not there.

        Raises:
            InputError: naming the first of them.
        """
        absent = [name for name in listed if name not in present]
        if absent:
            raise InputError(
                f"{root}: {len(absent)} listed images are missing, the first is {absent[0]}: get "
                f"the data set whole from {cls.source}, or set verify: false to use a part of it"
            )


def _in_words(counts):
    return " and ".join(f"{number:,} {noun}" for noun, number in counts.items())
