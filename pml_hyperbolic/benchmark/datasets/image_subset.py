"""ImageSubset: one split of a data set of images."""

from collections.abc import Sequence

import numpy as np
import torch

from ...images.decoded_images import DecodedImages
from ...images.image_transform import ImageTransform
from .class_subset import ClassSubset
from .image_data import ImageData


class ImageSubset(ClassSubset):
    """The images of some classes, transformed a batch at a time on the backbone's device.

    Args:
        data: the whole data set.
        classes: which classes.
        images: the data set's decoded images.
        transform: from them to the backbone's input.

    Items: ((channels, height, width) float32 image, (L,) int64 labels).

    Raises:
        ValueError: a class that the data set does not have.
    """

    def __init__(
        self,
        data: ImageData,
        classes: Sequence[int],
        images: DecodedImages,
        transform: ImageTransform,
    ):
        super().__init__(data, classes)
        self.images = images
        self.transform = transform

    def inputs(self, indices: np.ndarray, part: slice) -> torch.Tensor:
        draws = self.transform.draw(self.images.sizes[indices], self.generator).rows(part)
        return self.transform(self.images.batch(indices[part], self.transform.device), draws)


def keep_batch(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """A collate_fn for datasets that return whole batches."""
    return batch
