"""Benchmark runs that all processes started by torchrun train together, one run at a time.

Rank 0 leads: it plans, writes, logs, shows and scores, as a single process would. The other ranks
follow: they know nothing of folders, and train whenever rank 0 trains.
"""

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from ...distributed.collectives import from_rank_zero, rank, world_size
from ...distributed.worker_process import end_with_launcher
from ...errors import InputError
from ...trainers import MetricLossOnly, NonFiniteError
from ..assembly.models import choose_device
from ..assembly.pipeline import Pipeline
from ..assembly.protocol_data import ProtocolData
from ..assembly.seeding import seed_everything
from ..config import MethodConfig, ProtocolConfig
from .training_state import restore_training

_CONNECT_SECONDS = 5


@dataclass(frozen=True)
class Training:
    """What rank 0 sends to the followers: arguments of a pipeline, and a state to resume from."""

    protocol: ProtocolConfig
    method: MethodConfig
    name: str
    seed: int
    fold: int
    state: dict[str, Any] | None

    def pipeline(self, data: ProtocolData) -> Pipeline:
        """Build the same pipeline as rank 0."""
        return Pipeline(data, self.method, self.name, self.seed, self.fold)

    def run(self, trainer: MetricLossOnly) -> None:
        """Train from the epoch of the state to the last epoch."""
        trainer.train(start_epoch=self.epochs_done + 1, num_epochs=self.protocol.epochs)

    @property
    def epochs_done(self) -> int:
        """Number of epochs that are trained already."""
        return 0 if self.state is None else self.state["epoch"]


def over_processes(device: str, lead: Callable[[], int]) -> int:
    """Call ``lead`` on rank 0 while the other ranks follow; without torchrun, just call it.

    If torchrun is killed, all ranks end.

    Args:
        device: the protocol's "auto", "cpu" or "cuda"; each process takes the CUDA device of its
            local rank.
        lead: does the work and returns the exit status.

    Returns:
        The exit status, on every rank.

    Raises:
        InputError: this machine has fewer CUDA devices than processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return lead()
    end_with_launcher()
    _check_launcher()
    _join(device)
    if rank() > 0:
        status = _follow()
    else:
        try:
            status = lead()
        # In both cases the followers are not waiting for rank 0, and torchrun ends them.
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
    """Train to the last epoch on rank 0, and on the followers if there are any.

    Args:
        pipeline: that the trainer was built from.
        trainer: of rank 0; its hooks are called on rank 0 alone, and the followers wait for them.
        state: the training_state of the trainer. Default: the trainer is new.

    Raises:
        NonFiniteError: as ``trainer.train``; the followers are ready for the next run.
        SystemExit: with status 1, on any other error while there are followers: they are stuck
            within a step and cannot be used again.
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


def _check_launcher():
    """End if torchrun was killed before this process could watch it.

    The processes meet at a server within torchrun, for which they would wait for half an hour.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        socket.create_connection(place, timeout=_CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        raise SystemExit(
            f"pml-hyperbolic: failed: torchrun is gone, as nothing answers at {place[0]}:{place[1]}"
        ) from None
    # Whatever else is wrong with the network, torch waits for it to get better.
    except OSError:
        return


def _join(device):
    chosen = choose_device(device)
    if chosen.type == "cuda":
        local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= count:
            raise InputError(
                f"each process needs its own CUDA device, and this machine has {count}: set "
                f"torchrun's --nproc-per-node to {count} at most, or protocol.device to cpu"
            )
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")


def _follow():
    """Train what rank 0 trains until it sends the exit status, and return that."""
    data = None
    while isinstance(order := from_rank_zero(None), Training):
        if data is None or data.protocol != order.protocol:
            data = ProtocolData(order.protocol)
        _train_with_leader(order, data)
    return order


def _train_with_leader(training, data):
    torch.set_num_threads(training.protocol.threads)

    def wait_for_score(trainer):
        proceed = from_rank_zero(None)
        seed_follower(training.seed, trainer.epoch)
        return proceed

    trainer = training.pipeline(data).trainer(end_of_epoch_hook=wait_for_score)
    if training.state is not None:
        restore_training(trainer, training.state)
    seed_follower(training.seed, training.epochs_done)
    try:
        training.run(trainer)
    except NonFiniteError:
        # Rank 0 raised the same error and reports it.
        return


def seed_follower(seed: int, epoch: int) -> None:
    """Seed this rank's random numbers after an epoch, differently from those of other ranks.

    The seed depends on the epoch and not on earlier random numbers, so that a resumed run equals
    an uninterrupted one.

    Args:
        seed: of the run.
        epoch: the last epoch that is done, 0 at the start.
    """
    seed_everything(int(np.random.SeedSequence([seed, rank(), epoch]).generate_state(1)[0]))
