"""Index tuples (page: indexing; assumed: the names of the functions)."""

import torch

from ..types import PairIndices

__all__ = ["convert_to_weights", "get_all_pairs_indices"]


def get_all_pairs_indices(labels, ref_labels=None):
    same = labels.unsqueeze(1) == (labels if ref_labels is None else ref_labels)
    different = ~same
    if ref_labels is None:
        same.fill_diagonal_(False)
    return PairIndices(*same.nonzero(as_tuple=True), *different.nonzero(as_tuple=True))


def convert_to_weights(indices_tuple, labels, dtype):
    if indices_tuple is None:
        return torch.ones(len(labels), dtype=dtype, device=labels.device)
    counts = torch.bincount(torch.cat(list(indices_tuple)), minlength=len(labels)).to(dtype)
    return counts / counts.max()
