"""ImageFiles: a data set whose images are files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...images.image_archive import ImageArchive
from ...images.image_decoding import decode_image
from .image_data import ImageData


class ImageFiles(ImageData):
    """Images read from files when they are asked for.

    Attributes:
        layout: what a root folder or archive holds, for messages.
        source: where the data set officially comes from, for messages.
        official_counts: how many of what the official release has, by a plural noun.
        channels: 3 (colours) or 1 (grey), whatever a file has.
        entries: N pairs of archive and name in it.
        resize_to: height and width that images are resized to; None leaves them as stored.
    """

    layout: str
    source: str
    official_counts: Mapping[str, int]
    channels: int = 3
    entries: list[tuple[ImageArchive, str]]
    resize_to: int | None = None

    def image(self, index: int) -> np.ndarray:
        archive, name = self.entries[index]
        return decode_image(
            archive.read(name),
            archive.where(name),
            channels=self.channels,
            size=self.resize_to,
        )

    @classmethod
    def missing(cls, root: str | Path, what: str) -> InputError:
        """The error that says what a root lacks, what belongs there, and where it comes from."""
        return InputError(f"{root}: {what}; expected {cls.layout}, from {cls.source}")

    def check_counts(self, root: str | Path, *found: int) -> None:
        """Refuse what is not the whole official release.

        Args:
            root: of the data set, for the message.
            found: how many are there, in the order of ``official_counts``.

        Raises:
            InputError: counts differ from ``official_counts``.
        """
        counts = dict(zip(self.official_counts, found, strict=True))
        if counts != dict(self.official_counts):
            raise InputError(
                f"{root}: {type(self).__name__} has {_in_words(self.official_counts)}, found "
                f"{_in_words(counts)}: {self._how_to_mend()}"
            )

    def present_files(
        self, root: str | Path, files: Sequence[str], present: set[str], *, verify: bool
    ) -> np.ndarray:
        """Which of the listed files are there, (N,) boolean.

        Args:
            root: of the data set, for the message.
            files: names of all listed images.
            present: names of all files.
            verify: refuse if one is not there.

        Raises:
            InputError: naming the first file that is not there.
        """
        found = np.array([file in present for file in files], dtype=bool)
        if not found.any():
            raise self.missing(root, "none of the listed images is there")
        if verify and not found.all():
            raise InputError(
                f"{root}: {(~found).sum():,} listed images are missing, the first is "
                f"{files[int(found.argmin())]}: {self._how_to_mend()}"
            )
        return found

    def number_classes(
        self, official: np.ndarray, names: Mapping[int, str], *, test: np.ndarray | None = None
    ) -> None:
        """Set labels, class names and test classes.

        A whole release keeps its numbers, counted from 0; a part of it is numbered in the same
        order without gaps.

        Args:
            official: (N, L) integer labels as published.
            names: of the classes, by the published label.
            test: (N,) boolean; classes of these images are the test classes. Default: none are.

        Raises:
            InputError: a class has no name.
        """
        nameless = sorted(set(official[:, 0].tolist()) - set(names))
        if nameless:
            raise InputError(
                f"{type(self).__name__}: the list of classes lacks {nameless}: download it again "
                f"from {self.source}"
            )
        levels = [np.unique(level, return_inverse=True) for level in official.T]
        self.labels = np.stack([inverse for _, inverse in levels], axis=1).astype(np.int64)
        self.class_names = [names[int(label)] for label in levels[0][0]]
        if test is not None:
            self.test_classes = np.unique(self.labels[test, 0])

    def _how_to_mend(self):
        return f"get it whole from {self.source}, or set verify: false to use a part of it"


def _in_words(counts):
    return " and ".join(f"{number:,} {noun}" for noun, number in counts.items())
