"""gather_batch: the batch that several processes share, and rank 0's random numbers for it."""

import contextlib
import random

import numpy as np
import torch
import torch.distributed as dist

from .._pml import numpy_random
from .collectives import exchange, rank
from .gradients import multiply_gradient


def gather_batch(
    embeddings: torch.Tensor, *others: torch.Tensor | None
) -> tuple[torch.Tensor, list[torch.Tensor | None], contextlib.AbstractContextManager]:
    """The whole batch, of which each rank holds some rows, and rank 0's random numbers.

    Gradients flow to this rank's own rows, multiplied by the number of ranks: ``gradients``
    explains why DistributedDataParallel then arrives at the gradient of the whole batch.

    Args:
        embeddings: (N_rank, D); N_rank may differ between ranks.
        others: (M_rank, ...) tensors such as labels, or None. Trailing sizes, dtypes and whether a
            tensor is None must be the same on all ranks.

    Returns:
        (N_0 + N_1 + ..., D) embeddings, rows in rank order; the same for the others, None for
        None; and a context in which the global random numbers of Python, NumPy, torch and CUDA are
        rank 0's. Rank 0 draws as if it were alone; afterwards the others continue with their own.

    Raises:
        ValueError: on all ranks, if the tensors of different ranks do not fit together.
    """
    tensors, device = (embeddings, *others), embeddings.device
    kinds = [None if t is None else (tuple(t.shape[1:]), t.dtype) for t in tensors]
    lengths = [0 if t is None else len(t) for t in tensors]
    state = _random_state(device) if rank() == 0 else None
    everyone = exchange((kinds, lengths, state))
    for other, (theirs, _, _) in enumerate(everyone):
        first = everyone[0][0]
        if theirs != first:
            raise ValueError(
                f"every process must pass tensors with the same trailing sizes and dtypes, got "
                f"{_described(first)} on rank 0 and {_described(theirs)} on rank {other}"
            )
    counts, *other_counts = zip(*(theirs for _, theirs, _ in everyone), strict=True)
    whole = _gather_rows(embeddings, counts)
    gathered = [
        None if tensor is None else _gather_rows(tensor, counts)
        for tensor, counts in zip(others, other_counts, strict=True)
    ]
    return whole, gathered, _rank_zero_randomness(everyone[0][2], device)


def _described(kinds):
    return ", ".join(
        "None" if kind is None else f"(N, {', '.join(map(str, kind[0]))}) {kind[1]}"
        for kind in kinds
    ).replace("(N, )", "(N,)")


def _gather_rows(tensor, lengths):
    # Collectives only take equal sizes, and not every backend takes bool.
    rows = tensor.detach()
    rows = rows.to(torch.uint8) if rows.dtype == torch.bool else rows
    missing = max(lengths) - len(rows)
    rows = torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]).contiguous()
    parts = [torch.empty_like(rows) for _ in lengths]
    dist.all_gather(parts, rows)
    parts = [part[:n].to(tensor.dtype) for part, n in zip(parts, lengths, strict=True)]
    if tensor.requires_grad:
        parts[rank()] = multiply_gradient(tensor, len(lengths))
    return torch.cat(parts)


def _random_state(device):
    numpy_source = numpy_random()
    return (
        random.getstate(),
        numpy_source.bit_generator.state
        if isinstance(numpy_source, np.random.Generator)
        else numpy_source.get_state(),
        torch.get_rng_state(),
        torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    )


def _set_random_state(state, device):
    python_state, numpy_state, torch_state, cuda_state = state
    numpy_source = numpy_random()
    random.setstate(python_state)
    if isinstance(numpy_source, np.random.Generator):
        numpy_source.bit_generator.state = numpy_state
    else:
        numpy_source.set_state(numpy_state)
    torch.set_rng_state(torch_state)
    if cuda_state is not None:
        torch.cuda.set_rng_state(cuda_state, device)


@contextlib.contextmanager
def _rank_zero_randomness(state, device):
    if rank() == 0:
        yield
        return
    own = _random_state(device)
    _set_random_state(state, device)
    try:
        yield
    finally:
        _set_random_state(own, device)
