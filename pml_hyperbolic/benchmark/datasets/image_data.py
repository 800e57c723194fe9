"""ImageData: what every image data set of the benchmarks offers."""

from abc import ABC, abstractmethod

import numpy as np

from .labelled_data import LabelledData


class ImageData(LabelledData, ABC):
    """Labelled images of one data set, all splits together.

    Attributes:
        image_shape: (channels, height, width) of every image; height and width are None where
            images differ in size.
    """

    image_shape: tuple[int, int | None, int | None]

    @abstractmethod
    def image(self, index: int) -> np.ndarray:
        """(channels, height, width) uint8 image of this index."""

    def images(self, indices: np.ndarray) -> np.ndarray:
        """(B, channels, height, width) uint8 images of these indices (B,), all of one size.

        Raises:
            ValueError: they differ in size.
        """
        images = [self.image(int(index)) for index in indices]
        sizes = sorted({image.shape[1:] for image in images})
        if len(sizes) > 1:
            raise ValueError(
                f"images of {type(self).__name__} differ in size ({sizes[0]} and {sizes[-1]}): "
                f"bring each to one size before they are put into a batch"
            )
        return np.stack(images)
