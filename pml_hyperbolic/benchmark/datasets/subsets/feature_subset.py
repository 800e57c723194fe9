"""FeatureSubset: one split of a data set of precomputed features."""

from collections.abc import Sequence

import numpy as np
import torch

from ....utils.transfer import to_device
from ..feature_data import FeatureData
from .class_subset import ClassSubset


class FeatureSubset(ClassSubset):
    """The features of some classes.

    Args:
        data: the whole data set, with ``features`` (N, D).
        classes: the classes of this split.
        device: device of the batches. Default "cpu".

    Items: ((D,) float32 features, (L,) int64 labels).

    Raises:
        ValueError: the data set does not have one of the classes.
    """

    def __init__(
        self, data: FeatureData, classes: Sequence[int], device: torch.device | str = "cpu"
    ):
        super().__init__(data, classes)
        self.features = data.features
        self.device = torch.device(device)

    def inputs(self, indices: np.ndarray, part: slice) -> torch.Tensor:
        features = torch.as_tensor(self.features[indices[part]], dtype=torch.float32)
        return to_device(features, self.device)
