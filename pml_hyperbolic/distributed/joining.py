"""join_processes: one trainer's network and losses, kept the same in every process."""

import sys
from collections.abc import Callable

import torch
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ..utils import DistributedLoss
from .collectives import copy_from_rank_zero, synchronize_gradients


def join_processes(
    trainer, compute_embeddings: Callable[[torch.Tensor], torch.Tensor]
) -> torch.nn.Module:
    """Prepare a trainer's models and losses for training in several processes.

    Parameters and buffers become rank 0's; from then on the gradients of the losses are rank 0's
    and those of the models the mean over ranks. Batch norm is synchronised on CUDA.

    Args:
        trainer: PML's, its models in training mode but for what is frozen.
        compute_embeddings: (N, ...) data -> (N, D) embeddings with the trainer's models.

    Returns:
        The same as a module; gradients of the models are right only through it.

    Raises:
        ValueError: the trainer's parts are already made for several processes, or cannot be.
    """
    for name, model in trainer.models.items():
        if isinstance(model, DistributedDataParallel):
            raise ValueError(
                f"models[{name!r}] is in DistributedDataParallel: give the plain model, the "
                f"trainer sees to the rest"
            )
    for name, loss in trainer.loss_funcs.items():
        if isinstance(loss, DistributedLossWrapper | DistributedLoss):
            raise ValueError(
                f"loss_funcs[{name!r}] is in {type(loss).__name__}: give the plain loss, the "
                f"trainer gathers the batch of all processes itself"
            )
    if "subset_batch_miner" in trainer.mining_funcs:
        raise ValueError(
            "a subset_batch_miner would choose from the share of each process alone: use a "
            "tuple_miner, or one process"
        )
    synchronize_batch_norm(trainer.models, torch.device(trainer.data_device))
    for loss in trainer.loss_funcs.values():
        copy_from_rank_zero(loss)
        synchronize_gradients(loss)
    network = _Network(trainer.models, compute_embeddings)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        copy_from_rank_zero(network)
        return network
    # The graph is the same at every step; that it is allows for parameters that are not used.
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
    """Let models whose batch norm takes statistics of the batch take them of all processes' rows.

    Args:
        models: name -> model in training mode but for what is frozen; converted ones are replaced,
            with the same parameters.
        device: where they train.

    Raises:
        ValueError: the device is the CPU, where torch cannot.
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
                f"share of the batch, and cannot be synchronised on the CPU: freeze its "
                f"statistics, use GroupNorm or LayerNorm, or run one process"
            )
        convert = torch.nn.SyncBatchNorm.convert_sync_batchnorm
        if "timm" in sys.modules:
            # timm's batch norms hold an activation too, which torch would drop.
            from timm.layers import convert_sync_batchnorm as convert
        models[name] = convert(model)
