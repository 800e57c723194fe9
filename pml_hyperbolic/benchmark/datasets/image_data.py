"""ImageData: what every data set of the benchmarks offers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np


class ImageData(ABC):
    """Labelled images of one data set, all splits together.

    Attributes:
        labels: (N, L) int64; column 0 is the class that methods train on, further columns are
            coarser levels of its hierarchy.
        level_names: L names of those columns.
        image_shape: (channels, height, width) of what :meth:`images` returns.
    """

    labels: np.ndarray
    level_names: tuple[str, ...]
    image_shape: tuple[int, int, int]

    @abstractmethod
    def images(self, indices: np.ndarray) -> np.ndarray:
        """(B, channels, height, width) uint8 images of these indices (B,)."""

    def indices_of(self, classes: Sequence[int]) -> np.ndarray:
        """Indices of all images of these classes, in the data set's order.

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
