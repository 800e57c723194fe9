"""The gradient rule of training in several processes.

Let W processes share a batch. Each gathers the embeddings of all of them and computes the same
loss L of the whole batch (``gathering``).

The network. Process r can back-propagate through its own rows alone, which gives a part g_r of
the gradient of L: the whole is the sum of g_r over r. DistributedDataParallel, however, takes the
*mean* over processes. So the gradients that enter a process's own rows are multiplied by W
(:func:`multiply_gradient`): the mean of W g_r over r is the sum of g_r, the gradient of L.

The loss's own parameters (proxies). Every process sees the whole batch and thus already has their
complete gradient. It must be neither summed nor averaged; but it may differ in rounding between
processes, because some sums on CUDA depend on the order of threads, and the parameters would
slowly drift apart. So all processes use rank 0's (:func:`synchronize_gradients`), and start from
rank 0's parameters (:func:`copy_from_rank_zero`). That is also why a loss must *not* be wrapped in
DistributedDataParallel.
"""

import torch
import torch.distributed as dist

from .collectives import world_size


def multiply_gradient(tensor: torch.Tensor, factor: float) -> torch.Tensor:
    """The same tensor; its gradient is multiplied by ``factor`` before it flows further back."""
    view = tensor.view_as(tensor)
    view.register_hook(lambda gradient: gradient * factor)
    return view


def copy_from_rank_zero(module: torch.nn.Module) -> None:
    """Overwrite a module's parameters and buffers with those of rank 0. All ranks must call."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            _broadcast(tensor)


def synchronize_gradients(
    module: torch.nn.Module,
) -> list[torch.utils.hooks.RemovableHandle]:
    """Overwrite the gradients of a module's parameters with rank 0's in every backward pass.

    For a module that computes the same on every rank.

    Returns:
        Handles whose ``remove()`` ends this.
    """
    return [
        parameter.register_post_accumulate_grad_hook(_broadcast_gradient)
        for parameter in module.parameters()
        if parameter.requires_grad
    ]


def _broadcast_gradient(parameter):
    _broadcast(parameter.grad)


def _broadcast(tensor):
    if world_size() == 1:
        return
    if tensor.is_contiguous():
        dist.broadcast(tensor, src=0)
    else:
        rows = tensor.contiguous()
        dist.broadcast(rows, src=0)
        tensor.copy_(rows)
