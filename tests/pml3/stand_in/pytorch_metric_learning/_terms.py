"""What a loss term may hold. A leading underscore: private, as all that PML 3 does not export."""

import torch


def checked_terms(terms):
    """The terms; raises an error for a key or a value that PML 3's documentation does not show."""
    for name, term in terms.items():
        if not {"losses", "indices"} <= set(term) <= {"losses", "indices", "divisor"}:
            raise ValueError(f"{name} has the keys {sorted(term)}")
        losses, indices = term["losses"], term["indices"]
        if not torch.is_tensor(losses):
            raise TypeError(f"{name}: losses are {type(losses).__name__}")
        if indices is None:
            if losses.ndim:
                raise ValueError(f"{name}: no indices for {tuple(losses.shape)} losses")
            continue
        for index in (indices,) if torch.is_tensor(indices) else indices:
            if len(index) != len(losses) or index.dtype not in (torch.int64, torch.int32):
                raise ValueError(f"{name}: {index.dtype} indices of {tuple(index.shape)}")
    return terms
