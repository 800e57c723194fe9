"""One benchmark run after the other over all processes that torchrun started.

Rank 0 leads: it plans, writes, logs, shows and scores, as one process alone would. The others
follow: they know nothing of folders and train along when rank 0 trains.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from ...distributed.collectives import from_rank_zero, rank, world_size
from ...errors import InputError
from ...trainers import MetricLossOnly, NonFiniteError
from ..assembly.pipeline import Pipeline, choose_device, seed_everything
from ..config import MethodConfig, ProtocolConfig
from .training_state import restore_training


@dataclass(frozen=True)
class Training:
    """What followers are told to train along with: a pipeline's arguments and where to go on."""

    protocol: ProtocolConfig
    method: MethodConfig
    name: str
    seed: int
    fold: int
    state: dict[str, Any] | None

    def pipeline(self) -> Pipeline:
        """The same pipeline as rank 0's."""
        return Pipeline(self.protocol, self.method, self.name, self.seed, self.fold)

    def run(self, trainer: MetricLossOnly) -> None:
        """Train from where the state stands to the last epoch."""
        trainer.train(start_epoch=self.epochs_done + 1, num_epochs=self.protocol.epochs)

    @property
    def epochs_done(self) -> int:
        """Epochs that need not be trained any more."""
        return 0 if self.state is None else self.state["epoch"]


def over_processes(device: str, lead: Callable[[], int]) -> int:
    """Call ``lead`` on rank 0 while the other processes follow; without torchrun, just call it.

    Args:
        device: "auto", "cpu" or "cuda", as a protocol says. CUDA devices are taken by local rank.
        lead: does the work and returns the exit status.

    Returns:
        The exit status, on every rank.

    Raises:
        InputError: more processes on this machine than it has CUDA devices.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return lead()
    _join(device)
    if rank() > 0:
        status = _follow()
    else:
        try:
            status = lead()
        # In both cases followers are not waiting for orders: whoever started them ends them.
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            from_rank_zero(1)
            raise
        from_rank_zero(status)
    dist.destroy_process_group()
    return status


def train_together(
    pipeline: Pipeline, trainer: MetricLossOnly, state: dict[str, Any] | None = None
) -> None:
    """Train on rank 0 to the last epoch, with the followers if there are any.

    Args:
        pipeline: what the trainer was built from.
        trainer: rank 0's; its hooks are called on rank 0 alone, and followers wait for them.
        state: the training_state that the trainer is in. Default: it is new.

    Raises:
        NonFiniteError: as ``trainer.train``; followers are ready for the next training.
        SystemExit: with status 1, for whatever else went wrong while there are followers: they
            are somewhere within a step, and nothing can be done with them any more.
    """
    training = Training(
        pipeline.protocol, pipeline.method, pipeline.name, pipeline.seed, pipeline.fold, state
    )
    if world_size() == 1:
        training.run(trainer)
        return
    from_rank_zero(training)
    score = trainer.end_of_epoch_hook
    trainer.end_of_epoch_hook = lambda trainer: from_rank_zero(score(trainer))
    try:
        training.run(trainer)
    except NonFiniteError:
        raise
    except Exception as error:
        message = f"{trainer.name}: {type(error).__name__}: {' '.join(str(error).split())}"
        logging.getLogger("pml_hyperbolic.run").exception(message)
        raise SystemExit(f"pml-hyperbolic: failed: {message}") from error


def _join(device):
    chosen = choose_device(device)
    if chosen.type == "cuda":
        local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= count:
            raise InputError(
                f"each process needs a CUDA device of its own, and this machine has {count}: set "
                f"torchrun's --nproc-per-node to {count} at most, or protocol.device to cpu"
            )
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")


def _follow():
    """Train along until rank 0 sends the exit status."""
    while isinstance(order := from_rank_zero(None), Training):
        _train_along(order)
    return order


def _train_along(training):
    torch.set_num_threads(training.protocol.threads)

    def wait_for_score(trainer):
        proceed = from_rank_zero(None)
        seed_follower(training.seed, trainer.epoch)
        return proceed

    trainer = training.pipeline().trainer(end_of_epoch_hook=wait_for_score)
    if training.state is not None:
        restore_training(trainer, training.state)
    seed_follower(training.seed, training.epochs_done)
    try:
        training.run(trainer)
    except NonFiniteError:
        # Rank 0 met the same and says so.
        return


def seed_follower(seed: int, epoch: int) -> None:
    """Seed what this rank's network draws after an epoch: not what other ranks draw.

    Of the epoch, not of what was drawn before, so that resumed equals uninterrupted.

    Args:
        seed: of the run.
        epoch: the last one that is done, 0 at the start.
    """
    seed_everything(int(np.random.SeedSequence([seed, rank(), epoch]).generate_state(1)[0]))
