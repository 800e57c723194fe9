"""FeatureSubset: one split of a data set of precomputed features."""

from collections.abc import Sequence

import numpy as np
import torch

from ...utils.transfer import to_device
from .class_subset import ClassSubset
from .image_data import ImageData


class FeatureSubset(ClassSubset):
    """The features of some classes.

    Args:
        data: the whole data set, with ``features`` (N, D).
        classes: which classes.
        device: where batches are wanted.

    Items: ((D,) float32 features, (L,) int64 labels).

    Raises:
        ValueError: a class that the data set does not have.
    """

    def __init__(self, data: ImageData, classes: Sequence[int], device: torch.device | str = "cpu"):
        super().__init__(data, classes)
        self.features = data.features
        self.device = torch.device(device)

    def inputs(self, indices: np.ndarray, part: slice) -> torch.Tensor:
        features = torch.as_tensor(self.features[indices[part]], dtype=torch.float32)
        return to_device(features, self.device)
