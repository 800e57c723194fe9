"""LabelledData: the labels of a data set, which every data set of the benchmarks has."""

import hashlib
from collections.abc import Sequence

import numpy as np


class LabelledData:
    """The labels of one data set, all splits together.

    Attributes:
        labels: (N, L) int64. Column 0 is the class that methods train on; further columns are
            coarser levels of its hierarchy. Classes are numbered from 0 in the official order,
            and each has at least one sample.
        level_names: names of the L columns.
        class_names: names of the classes in column 0, in order.
        superclass_names: names of the classes in columns 1, 2, ..., in order; empty where the data
            set does not name them.
        test_classes: (T,) int64, the classes of the official test set, or None.
        query, gallery: (N,) bool masks if the official protocol searches query images in a
            gallery of other images, otherwise None.
        passed_over: sentences on files that are no samples, and why.
    """

    labels: np.ndarray
    level_names: tuple[str, ...]
    class_names: list[str]
    superclass_names: tuple[list[str], ...] = ()
    test_classes: np.ndarray | None = None
    query: np.ndarray | None = None
    gallery: np.ndarray | None = None
    passed_over: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self, content: np.ndarray) -> str:
        """Return twelve hexadecimal digits that identify these samples, wherever they are stored.

        Args:
            content: identifies the samples in addition to their classes: features, or the sizes
                of the images.
        """
        digest = hashlib.sha256("\n".join([*self.level_names, *self.class_names]).encode())
        for array in (self.labels, content):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:12]

    def indices_of(self, classes: Sequence[int]) -> np.ndarray:
        """Return the indices of all samples of these classes, in the order of the data set.

        Raises:
            ValueError: the data set does not have one of the classes.
        """
        missing = sorted(set(classes) - set(np.unique(self.labels[:, 0]).tolist()))
        if missing:
            raise ValueError(
                f"{type(self).__name__} has no classes {missing}: its classes are "
                f"{self.labels[:, 0].min()} to {self.labels[:, 0].max()}, choose among these"
            )
        return np.flatnonzero(np.isin(self.labels[:, 0], classes))
