"""Optimizers of trunk, head and loss, and the schedules of their learning rates."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from ..config import OptimizerConfig, Rates
from .registry import call
from .schedule import Schedule

Optimizers = dict[str, torch.optim.Optimizer]


def make_optimizers(
    config: OptimizerConfig,
    rates: Rates,
    models: Mapping[str, torch.nn.Module],
    loss_groups: Sequence[Mapping[str, Any]],
) -> Optimizers:
    """Make one optimizer for each part that has trainable parameters.

    Args:
        config: of the protocol.
        rates: of head and trunk.
        models: the ``trunk`` and the ``embedder``.
        loss_groups: parameter groups of the loss, which have learning rates of their own.

    Returns:
        ``trunk_optimizer``, ``embedder_optimizer`` and ``metric_loss_optimizer``, as PML's trainers
        expect them.

    Raises:
        InputError: the optimizer does not take its arguments.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {
        key: [
            {
                "params": [p for p in models[key].parameters() if p.requires_grad],
                "lr": rate,
                "weight_decay": config.weight_decay,
            }
        ]
        for key, rate in (("trunk", rates.trunk_lr), ("embedder", rates.head_lr))
    }
    groups["metric_loss"] = list(loss_groups)
    return {
        f"{key}_optimizer": call(
            getattr(torch.optim, config.name),
            config.arguments,
            where=f"protocol.optimizer.arguments: {config.name}",
            objects={"params": parameters},
        )
        for key, parameters in groups.items()
        if any(group["params"] for group in parameters)
    }


def make_schedulers(optimizers: Optimizers, schedule: Schedule) -> dict[str, LambdaLR]:
    """Make a scheduler for each optimizer, to be advanced by PML's trainers at each step."""
    return {
        f"{key.removesuffix('_optimizer')}_scheduler_by_iteration": LambdaLR(
            optimizer, schedule.trunk_factor if key == "trunk_optimizer" else schedule.factor
        )
        for key, optimizer in optimizers.items()
    }
