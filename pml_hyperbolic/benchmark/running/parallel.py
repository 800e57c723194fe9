"""Runs done one after the other, or several at a time in worker processes."""

import multiprocessing
import os
import traceback
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import torch

from ...distributed.collectives import world_size
from ...distributed.worker_process import become_worker, ended_in_order
from ...errors import message_of
from ...files import is_storage_failure
from ..assembly.models import choose_device
from ..assembly.protocol_data import ProtocolData
from ..config import BenchmarkConfig
from .plan import Task
from .progress import Progress
from .single_run import execute_run


@dataclass(frozen=True)
class Outcome:
    """How one run ended.

    Attributes:
        task: the run.
        error: the error in words, None if the run was finished.
        details: the error's traceback, where there is one.
    """

    task: Task
    error: str | None = None
    details: str | None = None


def default_jobs(config: BenchmarkConfig) -> int:
    """Return how many runs at a time suit this machine."""
    if world_size() > 1 or choose_device(config.protocol.device).type == "cuda":
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // config.protocol.threads)


def do_runs(
    tasks: list[Task], jobs: int, progress: Progress, data: ProtocolData
) -> Iterator[Outcome]:
    """Do all runs and yield their outcomes as they end; a failed run stops no other.

    Raises:
        OSError: the disk is full, broken, read-only or gone, which stops all runs.

    Args:
        tasks: the runs.
        jobs: how many to do at a time; one is done in this process.
        progress: told of every epoch and run.
        data: of the protocol, shared by runs in this process; each worker process reads its own.
    """
    outcomes = _in_processes(tasks, jobs, progress) if jobs > 1 else _here(tasks, progress, data)
    for outcome in outcomes:
        progress.run_done(failed=outcome.error is not None)
        yield outcome


def _do(task: Task, data: ProtocolData, on_epoch: Callable[[int, float], None]) -> Outcome:
    try:
        execute_run(
            task.config,
            task.method,
            task.fold,
            task.seed,
            task.folder,
            data=data,
            tensorboard=task.tensorboard,
            on_epoch=on_epoch,
        )
    # Whatever goes wrong in one run must not stop the others, unless it would stop them, too.
    except Exception as error:
        if is_storage_failure(error):
            raise
        reason = message_of(error)
        return Outcome(task, f"{type(error).__name__}: {reason}", traceback.format_exc())
    return Outcome(task)


def _here(tasks: list[Task], progress: Progress, data: ProtocolData) -> Iterator[Outcome]:
    threads = torch.get_num_threads()
    try:
        for task in tasks:
            yield _do(task, data, lambda epoch, score: progress.epoch_done())
    finally:
        torch.set_num_threads(threads)


def _in_processes(tasks: list[Task], jobs: int, progress: Progress) -> Iterator[Outcome]:
    """Yield the outcomes of all tasks; a worker that dies takes at most its own run with it.

    The runs that were in progress when a worker died are resumed one at a time, each alone,
    because one of them may need too much memory for this machine. Then a new pool does the rest.
    """
    waiting = tasks
    with ended_in_order():
        while waiting:
            suspects, waiting = yield from _in_pool(waiting, jobs, progress)
            for task in suspects:
                died, _ = yield from _in_pool([task], 1, progress)
                if died:
                    yield Outcome(
                        task,
                        "its worker process died, killed or out of memory: run again with fewer "
                        "--jobs to resume it",
                    )


def _in_pool(
    tasks: list[Task], jobs: int, progress: Progress
) -> Generator[Outcome, None, tuple[list[Task], list[Task]]]:
    """Yield outcomes until all tasks are done or a worker died.

    Returns:
        The tasks that a dead worker may have been doing, and those that no worker began.
    """
    # A forked child would inherit torch's thread pools with their locks held.
    context = multiprocessing.get_context("spawn")
    messages = context.SimpleQueue()
    others = set(multiprocessing.active_children())
    started_with = (messages, tasks[0].config.protocol)
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=started_with)
    begun, left = set(), []

    def read_messages():
        while not messages.empty():
            folder = messages.get()
            if folder is None:
                progress.epoch_done()
            else:
                begun.add(folder)

    try:
        pending: dict[Future, Task] = {pool.submit(_do_in_worker, task): task for task in tasks}
        while pending:
            done, _ = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            read_messages()
            for future in done:
                task = pending.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    left.append(task)
                    continue
                yield outcome
    except BaseException:
        # On an interrupt nobody should wait for runs of hours, which will be resumed anyway.
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    read_messages()
    # If the workers died before they began anything, the first tasks are suspected: otherwise
    # new workers would be started and die for ever.
    suspects = [task for task in left if task.folder in begun] or left[:jobs]
    return suspects, [task for task in left if task not in suspects]


# A worker's queue to its parent: the folder of a run that begins, None for each scored epoch.
_messages: Any = None
# The data of the one protocol whose runs a worker does.
_data: Any = None


def _start_worker(messages, protocol):
    global _messages, _data
    _messages, _data = messages, ProtocolData(protocol)
    become_worker()


def _do_in_worker(task):
    _messages.put(task.folder)
    return _do(task, _data, lambda epoch, score: _messages.put(None))
