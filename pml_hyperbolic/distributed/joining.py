"""join_processes: keeps the network and losses of a trainer the same in all processes."""

import sys
from collections.abc import Callable

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from .._pml import BaseTrainer, DistributedLossWrapper
from .distributed_loss import DistributedLoss
from .gradients import copy_from_rank_zero, synchronize_gradients


def join_processes(
    trainer: BaseTrainer, compute_embeddings: Callable[[torch.Tensor], torch.Tensor]
) -> torch.nn.Module:
    """Prepare a trainer's models and losses for training in several processes.

    Parameters and buffers become those of rank 0. From then on the gradients of the losses are
    rank 0's and those of the models the mean over ranks (``gradients`` explains why). Batch norm is
    synchronised on CUDA.

    Args:
        trainer: one of PML's, with its models in training mode except for what is frozen.
        compute_embeddings: (N, ...) data -> (N, D) embeddings with the trainer's models.

    Returns:
        ``compute_embeddings`` as a module; only its gradients are averaged over ranks.

    Raises:
        ValueError: parts of the trainer are already prepared for several processes, or cannot be.
    """
    for name, model in trainer.models.items():
        if isinstance(model, DistributedDataParallel):
            raise ValueError(
                f"models[{name!r}] is in DistributedDataParallel: pass the plain model, the "
                f"trainer wraps it itself"
            )
    for name, loss in trainer.loss_funcs.items():
        if isinstance(loss, DistributedLossWrapper | DistributedLoss):
            raise ValueError(
                f"loss_funcs[{name!r}] is in {type(loss).__name__}: pass the plain loss, the "
                f"trainer gathers the batch of all processes itself"
            )
    if "subset_batch_miner" in trainer.mining_funcs:
        raise ValueError(
            "a subset_batch_miner would only see the share of its own process: use a tuple_miner, "
            "or one process"
        )
    synchronize_batch_norm(trainer.models, torch.device(trainer.data_device))
    for loss in trainer.loss_funcs.values():
        copy_from_rank_zero(loss)
        synchronize_gradients(loss)
    network = _Network(trainer.models, compute_embeddings)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        copy_from_rank_zero(network)
        return network
    # The graph is the same at every step; declaring it static permits unused parameters.
    return DistributedDataParallel(network, static_graph=True)


class _Network(torch.nn.Module):
    """A trainer's models as one module, so that one reducer averages all gradients."""

    def __init__(self, models, compute_embeddings):
        super().__init__()
        self.models = torch.nn.ModuleDict(models)
        self.compute_embeddings = compute_embeddings

    def forward(self, data):
        return self.compute_embeddings(data)


def synchronize_batch_norm(models: dict[str, torch.nn.Module], device: torch.device) -> None:
    """Make batch norm that uses batch statistics take them from the rows of all processes.

    Args:
        models: name -> model, in training mode except for what is frozen. A model that has such
            batch norm is replaced by its converted version, which has the same parameters.
        device: where the models train.

    Raises:
        ValueError: the device is the CPU, where torch cannot synchronise batch norm.
    """
    for name, model in models.items():
        if not any(
            isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)
            for module in model.modules()
        ):
            continue
        if device.type == "cpu":
            raise ValueError(
                f"batch norm in models[{name!r}] would take the statistics of each process's "
                f"share of the batch and cannot be synchronised on the CPU: freeze its "
                f"statistics, use GroupNorm or LayerNorm, or run one process"
            )
        convert = torch.nn.SyncBatchNorm.convert_sync_batchnorm
        if "timm" in sys.modules:
            # timm's batch norms also hold an activation, which torch would drop.
            from timm.layers import convert_sync_batchnorm as convert
        models[name] = convert(model)
