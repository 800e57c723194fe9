"""The tuples and dictionaries of PML 3's signatures (page: types)."""

from typing import Any, NamedTuple

from torch import Tensor

__all__ = ["LossDict", "PairIndices", "TripletIndices"]


class PairIndices(NamedTuple):
    pos_anchors: Tensor
    positives: Tensor
    neg_anchors: Tensor
    negatives: Tensor


class TripletIndices(NamedTuple):
    anchors: Tensor
    positives: Tensor
    negatives: Tensor


LossDict = dict[str, dict[str, Any]]
