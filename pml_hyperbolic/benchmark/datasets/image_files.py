"""ImageFiles: a data set whose images are files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...images.image_archive import ImageArchive
from ...images.image_decoding import decode_image
from .image_data import ImageData


class ImageFiles(ImageData):
    """A data set that reads an image from its file whenever it is asked for.

    Attributes:
        layout: what the root folder or archive contains, for messages.
        source: where the official release is published, for messages.
        official_counts: contents of the official release, plural noun -> number.
        channels: 3 (colour) or 1 (grey), whatever the file has. Default 3.
        entries: N pairs of an archive and the name of a file in it.
        resize_to: height and width in pixels that images are resized to. Default: as stored.
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

    @property
    def listings(self) -> dict[Path, list[str]]:
        archives = {id(archive): archive for archive, _ in self.entries}.values()
        return {one.path: one.listing() for one in archives if one.path.is_dir()}

    @classmethod
    def missing(cls, root: str | Path, what: str) -> InputError:
        """Return an error that says what is missing, what is expected and where to get it."""
        return InputError(f"{root}: {what}; expected {cls.layout}, from {cls.source}")

    def check_counts(self, root: str | Path, *found: int) -> None:
        """Check that this is the complete official release.

        Args:
            root: of the data set, for the message.
            found: the counts that were found, in the order of ``official_counts``.

        Raises:
            InputError: the counts differ from ``official_counts``.
        """
        counts = dict(zip(self.official_counts, found, strict=True))
        if counts != dict(self.official_counts):
            raise InputError(
                f"{root}: {type(self).__name__} has {_in_words(self.official_counts)}, found "
                f"{_in_words(counts)}: {self._how_to_fix()}"
            )

    def present_files(
        self, root: str | Path, files: Sequence[str], present: set[str], *, verify: bool
    ) -> np.ndarray:
        """Return which of the listed files exist, (N,) bool; ``passed_over`` counts the others.

        Args:
            root: of the data set, for the message.
            files: names of all listed images.
            present: names of all existing files.
            verify: raise an error if a listed file does not exist.

        Raises:
            InputError: no listed file exists, or ``verify`` is set and one does not exist; the
                message names the first one.
        """
        found = np.array([file in present for file in files], dtype=bool)
        if not found.any():
            raise self.missing(root, "none of the listed images exists")
        if verify and not found.all():
            raise InputError(
                f"{root}: {(~found).sum():,} listed images are missing, the first is "
                f"{files[int(found.argmin())]}: {self._how_to_fix()}"
            )
        if not found.all():
            self.passed_over = [
                *self.passed_over,
                f"{root}: {(~found).sum():,} of {len(files):,} listed images are missing, the "
                f"first is {files[int(found.argmin())]}",
            ]
        return found

    def number_classes(
        self,
        official: np.ndarray,
        names: Mapping[int, str],
        *superclass_names: Mapping[int, str],
        test: np.ndarray | None = None,
    ) -> None:
        """Set labels, names of classes and test classes.

        Classes are numbered from 0 in the order of their published labels. In a part of a release
        they are numbered without gaps.

        Args:
            official: (N, L) integer labels as published.
            names: published label -> name of the class.
            superclass_names: the same for columns 1, 2, ...; none or all.
            test: (N,) bool; the classes of these images are the test classes. Default: there are
                no official test classes.

        Raises:
            InputError: a class has no name.
        """
        for column, level_names in enumerate((names, *superclass_names)):
            nameless = sorted(set(official[:, column].tolist()) - set(level_names))
            if nameless:
                raise InputError(
                    f"{type(self).__name__}: the list of classes lacks {nameless}: download it "
                    f"again from {self.source}"
                )
        levels = [np.unique(level, return_inverse=True) for level in official.T]
        self.labels = np.stack([inverse for _, inverse in levels], axis=1).astype(np.int64)
        self.class_names, *coarser = (
            [level_names[int(label)] for label in present]
            for level_names, (present, _) in zip((names, *superclass_names), levels, strict=False)
        )
        self.superclass_names = tuple(coarser)
        if test is not None:
            self.test_classes = np.unique(self.labels[test, 0])

    def add_levels(self, groups_of: Callable[[str], Mapping[str, str] | None]) -> None:
        """Add the coarser levels that follow from the names of the classes.

        Nothing is added if one of the classes is unknown: a level has a label for every image.

        Args:
            groups_of: returns level -> group for the name of a class, from the finer level to the
                coarser and the same levels for all names; None for an unknown name.
        """
        groups = [groups_of(name) for name in self.class_names]
        known = [group for group in groups if group is not None]
        if len(known) < len(groups):
            return
        for level in known[0]:
            names, numbers = np.unique([group[level] for group in known], return_inverse=True)
            self.labels = np.column_stack([self.labels, numbers[self.labels[:, 0]]])
            self.level_names = (*self.level_names, level)
            self.superclass_names = (*self.superclass_names, names.tolist())

    def _how_to_fix(self):
        return (
            f"download the complete release from {self.source}, or set verify: false to use a part "
            f"of it"
        )


def _in_words(counts):
    return " and ".join(f"{number:,} {noun}" for noun, number in counts.items())
