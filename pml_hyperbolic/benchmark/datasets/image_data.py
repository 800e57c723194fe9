"""ImageData: the interface of every image data set of the benchmarks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .labelled_data import LabelledData


class ImageData(LabelledData, ABC):
    """The labelled images of one data set, all splits together."""

    @abstractmethod
    def image(self, index: int) -> np.ndarray:
        """Return an image, (channels, height, width) uint8; may be called from several threads."""

    @property
    def listings(self) -> Mapping[Path, Sequence[str]]:
        """Files that this data set has listed: absolute folder -> paths relative to it."""
        return {}
