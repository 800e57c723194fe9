"""ImageData: what every image data set of the benchmarks offers."""

from abc import ABC, abstractmethod

import numpy as np

from .labelled_data import LabelledData


class ImageData(LabelledData, ABC):
    """Labelled images of one data set, all splits together."""

    @abstractmethod
    def image(self, index: int) -> np.ndarray:
        """(channels, height, width) uint8, of any size; may be called from several threads."""
