"""ImageSubset: one split of a data set of images."""

from collections.abc import Sequence

import numpy as np
import torch

from ....images import DecodedImages, ImageTransform
from ..labelled_data import LabelledData
from .class_subset import ClassSubset


class ImageSubset(ClassSubset):
    """The images of some classes, transformed a batch at a time on the network's device.

    Args:
        data: the labels of the whole data set.
        classes: the classes of this split.
        images: the decoded images of the whole data set.
        transform: from decoded images to the network's input.

    Items: ((channels, height, width) float32 image, (L,) int64 labels).

    Raises:
        ValueError: the data set does not have one of the classes.
    """

    def __init__(
        self,
        data: LabelledData,
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
