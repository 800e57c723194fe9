"""One batch spread over processes: rows gathered in rank order, random numbers of rank 0.

Written for losses that are computed on the whole batch by every process alike.
"""

import contextlib
import datetime
import functools
import random
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from pytorch_metric_learning.utils import common_functions as c_f

# Ranks wait here while rank 0 evaluates, however long that takes; a process that dies ends the
# wait at once, as its connections break.
_PATIENCE = datetime.timedelta(days=7)


def world_size() -> int:
    """Number of processes that share the work; 1 where torch.distributed is not in use."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Position of this process among them; 0 where torch.distributed is not in use."""
    return dist.get_rank() if world_size() > 1 else 0


def exchange(content: Any) -> list[Any]:
    """What each rank hands in, in rank order. All ranks must call; no accelerator is involved.

    Args:
        content: anything that can be pickled.
    """
    contents = [None] * world_size()
    dist.all_gather_object(contents, content, group=_control_group(dist.group.WORLD))
    return contents


def from_rank_zero(content: Any) -> Any:
    """What rank 0 hands in, for all ranks. All must call; waits for rank 0 for days if need be.

    Args:
        content: anything that can be pickled; only rank 0's counts.
    """
    contents = [content]
    dist.broadcast_object_list(contents, src=0, group=_control_group(dist.group.WORLD))
    return contents[0]


@functools.lru_cache(maxsize=1)
def _control_group(world):
    """A group for small things on the CPU: NCCL would synchronise CUDA, and gives up too early."""
    return dist.new_group(backend="gloo", timeout=_PATIENCE)


def gather_batch(
    *tensors: torch.Tensor | None,
) -> tuple[list[torch.Tensor | None], contextlib.AbstractContextManager]:
    """The whole batch, of which each rank holds some rows, and rank 0's random numbers.

    Gradients flow to this rank's own rows, multiplied by the number of ranks: where every rank
    computes the same loss of the whole batch, the mean over ranks that DistributedDataParallel
    takes of a network's gradients is then the gradient of that loss.

    Args:
        tensors: (N_rank, ...), N_rank may differ between ranks; the trailing sizes, the dtype and
            whether it is None may not.

    Returns:
        (N_0 + N_1 + ..., ...) for each tensor, rows in rank order, None for None; and a context
        in which the global random numbers of Python, NumPy, torch and CUDA are rank 0's. Rank 0
        draws as if there were no other; the others go on with their own afterwards.

    Raises:
        ValueError: on all ranks, where ranks hand in tensors that do not fit together.
    """
    device = next(t.device for t in tensors if t is not None)
    kinds = [None if t is None else (tuple(t.shape[1:]), t.dtype) for t in tensors]
    lengths = [0 if t is None else len(t) for t in tensors]
    state = _random_state(device) if rank() == 0 else None
    everyone = exchange((kinds, lengths, state))
    for other, (theirs, _, _) in enumerate(everyone):
        first = everyone[0][0]
        if theirs != first:
            raise ValueError(
                f"every process must hand in tensors of the same trailing sizes and dtypes, got "
                f"{_in_words(first)} on rank 0 and {_in_words(theirs)} on rank {other}"
            )
    gathered = [
        None if tensor is None else _gather_rows(tensor, lengths)
        for tensor, *lengths in zip(tensors, *(theirs for _, theirs, _ in everyone), strict=True)
    ]
    return gathered, _random_numbers(everyone[0][2], device)


def _in_words(kinds):
    return ", ".join(
        "None" if kind is None else f"(N, {', '.join(map(str, kind[0]))}) {kind[1]}"
        for kind in kinds
    ).replace("(N, )", "(N,)")


def _gather_rows(tensor, lengths):
    # Collectives take equal sizes only, and not all backends take bool.
    rows = tensor.detach()
    rows = rows.to(torch.uint8) if rows.dtype == torch.bool else rows
    missing = max(lengths) - len(rows)
    rows = torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]).contiguous()
    parts = [torch.empty_like(rows) for _ in lengths]
    dist.all_gather(parts, rows)
    parts = [part[:n].to(tensor.dtype) for part, n in zip(parts, lengths, strict=True)]
    if tensor.requires_grad:
        own = tensor.view_as(tensor)
        own.register_hook(lambda gradient: gradient * len(lengths))
        parts[rank()] = own
    return torch.cat(parts)


def _random_state(device):
    numpy_source = c_f.NUMPY_RANDOM
    return (
        random.getstate(),
        numpy_source.bit_generator.state
        if isinstance(numpy_source, np.random.Generator)
        else numpy_source.get_state(),
        torch.get_rng_state(),
        torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    )


def _set_random_state(state, device):
    of_python, of_numpy, of_torch, of_cuda = state
    numpy_source = c_f.NUMPY_RANDOM
    random.setstate(of_python)
    if isinstance(numpy_source, np.random.Generator):
        numpy_source.bit_generator.state = of_numpy
    else:
        numpy_source.set_state(of_numpy)
    torch.set_rng_state(of_torch)
    if of_cuda is not None:
        torch.cuda.set_rng_state(of_cuda, device)


@contextlib.contextmanager
def _random_numbers(state, device):
    if rank() == 0:
        yield
        return
    own = _random_state(device)
    _set_random_state(state, device)
    try:
        yield
    finally:
        _set_random_state(own, device)


def copy_from_rank_zero(module: torch.nn.Module) -> None:
    """Give a module rank 0's parameters and buffers. All ranks must call."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            _broadcast(tensor)


def synchronize_gradients(
    module: torch.nn.Module,
) -> list[torch.utils.hooks.RemovableHandle]:
    """Give a module's parameters rank 0's gradients at every backward pass from now on.

    For a module that computes the same on every rank. Its gradients may still differ in rounding
    (on CUDA some sums depend on the order of threads), and its parameters would drift apart.

    Returns:
        Handles whose ``remove()`` ends it.
    """
    return [
        parameter.register_post_accumulate_grad_hook(lambda p: _broadcast(p.grad))
        for parameter in module.parameters()
        if parameter.requires_grad
    ]


def _broadcast(tensor):
    if world_size() == 1:
        return
    if tensor.is_contiguous():
        dist.broadcast(tensor, src=0)
    else:
        rows = tensor.contiguous()
        dist.broadcast(rows, src=0)
        tensor.copy_(rows)
