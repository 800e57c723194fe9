"""LabelledData: what every data set of the benchmarks knows of its samples' classes."""

import hashlib
from collections.abc import Sequence

import numpy as np


class LabelledData:
    """Labels of one data set, all splits together.

    Attributes:
        labels: (N, L) int64; column 0 is the class that methods train on, further columns are
            coarser levels of its hierarchy. Classes are numbered from 0 in the official order,
            and each has a sample.
        level_names: L names of those columns.
        class_names: names of the classes of column 0, in order.
        test_classes: (T,) int64 classes of the official test part, where there is one.
        query, gallery: (N,) boolean masks, where the official protocol searches query images in a
            gallery of others.
    """

    labels: np.ndarray
    level_names: tuple[str, ...]
    class_names: list[str]
    test_classes: np.ndarray | None = None
    query: np.ndarray | None = None
    gallery: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self, content: np.ndarray) -> str:
        """Twelve digits that tell these samples from others, wherever they lie.

        Args:
            content: what to know the samples by besides their classes: features, or image sizes.
        """
        digest = hashlib.sha256("\n".join([*self.level_names, *self.class_names]).encode())
        for array in (self.labels, content):
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()[:12]

    def indices_of(self, classes: Sequence[int]) -> np.ndarray:
        """Indices of all samples of these classes, in the data set's order.

        Raises:
            ValueError: a class that the data set does not have.
        """
        missing = sorted(set(classes) - set(np.unique(self.labels[:, 0]).tolist()))
        if missing:
            raise ValueError(
                f"{type(self).__name__} has no classes {missing}: its classes are "
                f"{self.labels[:, 0].min()} to {self.labels[:, 0].max()}"
            )
        return np.flatnonzero(np.isin(self.labels[:, 0], classes))
