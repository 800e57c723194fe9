"""FeatureSubset: one split of a data set of precomputed features."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ....utils.transfer import to_device
from ..labelled_data import LabelledData
from .class_subset import ClassSubset


class FeatureSubset(ClassSubset):
    """The features of some classes.

    Args:
        data: the labels of the whole data set.
        classes: the classes of this split.
        features: returns the features (N, D) of the whole data set, when they are first needed.
        device: device of the batches. Default "cpu".

    Items: ((D,) float32 features, (L,) int64 labels).

    Raises:
        ValueError: the data set does not have one of the classes.
    """

    def __init__(
        self,
        data: LabelledData,
        classes: Sequence[int],
        features: Callable[[], np.ndarray],
        device: torch.device | str = "cpu",
    ):
        super().__init__(data, classes)
        self.features = features
        self.device = torch.device(device)

    def inputs(self, indices: np.ndarray, part: slice) -> torch.Tensor:
        features = torch.as_tensor(self.features()[indices[part]], dtype=torch.float32)
        return to_device(features, self.device)
