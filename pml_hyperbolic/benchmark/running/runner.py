"""All runs of a benchmark: planned, done in parallel, skipped where finished, collected."""

import itertools
import multiprocessing
import multiprocessing.connection
import os
import traceback
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from ...distributed.collectives import world_size
from ...errors import InputError
from ...files import make_output_folder, read_json, write_json, write_text
from ..assembly.pipeline import Pipeline, choose_device, run_title
from ..checking.fairness import check_fairness, method_facts
from ..config import BenchmarkConfig
from ..config.curvature_control import with_flat_twins
from ..config.yaml_files import dump_yaml, read_mapping
from ..results.run_files import BENCHMARK_FILE, RESULT_FILE, RESULTS_FILE, TIDY_FILE
from ..results.tidy_results import write_tidy
from .concatenation import add_concatenated
from .folder_lock import FolderLock
from .single_run import declarations, execute_run, run_folder
from .worker_process import become_worker


@dataclass(frozen=True)
class Task:
    """One run to do; all a worker process is sent."""

    config: BenchmarkConfig
    method: str
    fold: int
    seed: int
    folder: Path
    tensorboard: bool

    @property
    def title(self) -> str:
        """How messages call it."""
        return run_title(self.method, self.fold, self.seed)


@dataclass(frozen=True)
class Outcome:
    """What became of one run: an error in words, and its traceback, or neither."""

    task: Task
    error: str | None = None
    details: str | None = None


class Checked(NamedTuple):
    """What is known of a benchmark before anything runs.

    Attributes:
        notes: sentences to show: declared differences between methods, and doubts.
        data: fingerprint of the data.
    """

    notes: list[str]
    data: str


def check_benchmark(config: BenchmarkConfig) -> Checked:
    """Build every method of a benchmark as a run would, and try its loss on random embeddings.

    Raises:
        InputError: naming the method, the key and how to mend it.
    """
    config = with_flat_twins(config)
    protocol, facts = config.protocol, {}
    first, *others = protocol.folds
    for name, method in config.methods.items():
        pipeline = Pipeline(protocol, method, name, protocol.seeds[0], first)
        pipeline.try_loss()
        facts[name] = method_facts(pipeline)
    # Methods differ between folds in their number of classes only.
    name, method = next(iter(config.methods.items()))
    for fold in others:
        Pipeline(protocol, method, name, protocol.seeds[0], fold)
    return Checked(check_fairness(config, facts), pipeline.data_fingerprint)


def run_benchmark(
    config: BenchmarkConfig,
    output: Path,
    *,
    jobs: int | None = None,
    tensorboard: bool = False,
    say: Callable[[str], None] = print,
    show_progress: bool = True,
) -> tuple[list[dict], list[Outcome]]:
    """Do every run that ``output/<name>`` does not hold yet; one that fails stops no other.

    Unfinished runs go on where they stopped.

    Args:
        config: what to run.
        output: folder of all benchmarks.
        jobs: runs at a time; numbers do not depend on it. Default: as many as there are cores for
            the protocol's threads, 1 on CUDA and under torchrun.
        tensorboard: write TensorBoard events too. Default False.
        say: takes what is to be said, line by line.
        show_progress: a progress bar on stderr. Default True.

    Returns:
        The rows of results.json, and the outcomes of the runs that failed.

    Raises:
        InputError: a method cannot be built, the folder holds runs of other settings, or another
            process works in it.
    """
    config = with_flat_twins(config)
    if world_size() > 1 and jobs is not None and jobs > 1:
        raise InputError(
            f"--jobs {jobs}: torchrun's {world_size()} processes do one run at a time together: "
            f"leave --jobs out"
        )
    _check_recorders(tensorboard)
    checked = check_benchmark(config)
    for note in checked.notes:
        say(f"note: {note}")
    folder = output / config.name
    identity = {"protocol_hash": config.protocol.hash, "data": checked.data}
    _check_folder(folder, identity)
    make_output_folder(folder)
    with FolderLock(folder):
        return _run_in(folder, config, identity, jobs, tensorboard, say, show_progress)


def _run_in(folder, config, identity, jobs, tensorboard, say, show_progress):
    tasks, finished = _plan(config, folder, tensorboard)
    write_text(folder / BENCHMARK_FILE, dump_yaml({**config.model_dump(), **identity}))
    if finished:
        say(f"{finished} finished runs in {folder} are kept, {len(tasks)} are left to do")
    jobs = min(jobs or default_jobs(config), max(len(tasks), 1))
    failures = []
    with _Progress(config, len(tasks), show_progress) as progress:
        outcomes = _in_parallel(tasks, jobs, progress) if jobs > 1 else _one_by_one(tasks, progress)
        for outcome in outcomes:
            progress.finished(outcome)
            if outcome.error is not None:
                failures.append(outcome)
    _concatenate_folds(config, folder)
    rows = collect_results(folder, list(config.methods))
    write_json(folder / RESULTS_FILE, rows)
    write_tidy(folder / TIDY_FILE, config.name, rows)
    return rows, failures


def _check_recorders(tensorboard):
    """Miss what every run would miss before the first one starts."""
    import record_keeper  # noqa: F401

    if tensorboard:
        import torch.utils.tensorboard  # noqa: F401


def default_jobs(config: BenchmarkConfig) -> int:
    """Runs at a time that suit this machine."""
    if world_size() > 1 or choose_device(config.protocol.device).type == "cuda":
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // config.protocol.threads)


def collect_results(folder: Path, order: list[str]) -> list[dict]:
    """Rows of all finished runs in a benchmark's folder, methods in this order, others after."""
    files = folder.glob(f"*/fold*_seed*/{RESULT_FILE}")
    rows = [row for file in files for row in read_json(file)]
    rank = {name: i for i, name in enumerate(order)}

    def key(row):
        return rank.get(row["method"], len(rank)), row["method"], row["fold"], row["seed"]

    return sorted(rows, key=key)


def _concatenate_folds(config, folder):
    """Score the folds of each method and seed together where all of them are finished."""
    protocol = config.protocol
    if protocol.number_of_folds == 1:
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(protocol.threads)
    try:
        for name, seed in itertools.product(config.methods, protocol.seeds):
            folds = range(protocol.number_of_folds)
            folders = [run_folder(folder, name, fold, seed) for fold in folds]
            if all((one / RESULT_FILE).exists() for one in folders):
                device = choose_device(protocol.device)
                add_concatenated(folders, RESULT_FILE, protocol.evaluation, device)
    finally:
        torch.set_num_threads(threads)


def _check_folder(folder, identity):
    """Refuse a folder that is not this benchmark's."""
    stored = folder / BENCHMARK_FILE
    if stored.exists():
        content = read_mapping(stored)
        for key, what in (("protocol_hash", "of another protocol"), ("data", "on other data")):
            if content.get(key) != identity[key]:
                raise InputError(
                    f"{folder} holds runs {what} ({content.get(key)}, this one is "
                    f"{identity[key]}): move it away, or keep the new runs elsewhere with "
                    f"name=... or --output"
                )
    elif folder.exists() and any(path.name not in FolderLock.FILES for path in folder.iterdir()):
        raise InputError(
            f"{folder} is not a folder that this command made (it has no {BENCHMARK_FILE}): "
            f"choose another --output"
        )


def _plan(config, folder, tensorboard):
    """(tasks left to do, number of finished runs)."""
    tasks, finished = [], 0
    for name, method in config.methods.items():
        for fold, seed in itertools.product(config.protocol.folds, config.protocol.seeds):
            task = Task(config, name, fold, seed, run_folder(folder, name, fold, seed), tensorboard)
            result = task.folder / RESULT_FILE
            if not result.exists():
                tasks.append(task)
                continue
            finished += 1
            try:
                rows = read_json(result)
                finished_with = rows[0]["method_hash"]
            except (ValueError, LookupError, TypeError):
                raise InputError(
                    f"{result} cannot be read: remove {task.folder} to do that run anew"
                ) from None
            if finished_with != method.hash:
                raise InputError(
                    f"{task.folder} is finished with other settings of {name}: remove "
                    f"{folder / name} to run it anew, or keep the new runs elsewhere with "
                    f"name=... or --output"
                )
            # Tuned again to the same values, say: the numbers stand, what is declared is new.
            declared = declarations(method)
            if any(row != {**row, **declared} for row in rows):
                write_json(result, [{**row, **declared} for row in rows])
    return tasks, finished


def _do(task: Task, on_epoch: Callable[[int, float], None]) -> Outcome:
    try:
        execute_run(
            task.config,
            task.method,
            task.fold,
            task.seed,
            task.folder,
            tensorboard=task.tensorboard,
            on_epoch=on_epoch,
        )
    # Whatever went wrong in one run, the others go on.
    except Exception as error:
        reason = " ".join(str(error).split()) or "no message"
        return Outcome(task, f"{type(error).__name__}: {reason}", traceback.format_exc())
    return Outcome(task)


def _one_by_one(tasks: list[Task], progress: "_Progress") -> Iterator[Outcome]:
    threads = torch.get_num_threads()
    try:
        for task in tasks:
            yield _do(task, lambda epoch, score: progress.epoch_done())
    finally:
        torch.set_num_threads(threads)


def _in_parallel(tasks: list[Task], jobs: int, progress: "_Progress") -> Iterator[Outcome]:
    """Outcomes of all tasks; a worker that dies takes at most its own run with it.

    The runs that were in hand when it died are resumed one by one, each alone, because one of them
    may be too large for this machine; the rest then goes on in a new pool.
    """
    waiting = tasks
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
    tasks: list[Task], jobs: int, progress: "_Progress"
) -> Generator[Outcome, None, tuple[list[Task], list[Task]]]:
    """Yield outcomes until all are done or a worker died.

    Returns:
        The tasks that a dead worker may have had in hand, and those that nobody began.
    """
    # A forked child would inherit locked thread pools of torch.
    context = multiprocessing.get_context("spawn")
    messages = context.SimpleQueue()
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(messages,))
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
        # Interrupted: nobody waits for hours of runs that will be resumed.
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    read_messages()
    # Workers that died before they began anything would be replaced for ever.
    suspects = [task for task in left if task.folder in begun] or left[:jobs]
    return suspects, [task for task in left if task not in suspects]


_messages = None


def _start_worker(messages):
    global _messages
    _messages = messages
    become_worker()


def _do_in_worker(task):
    _messages.put(task.folder)
    return _do(task, lambda epoch, score: _messages.put(None))


class _Progress:
    """A bar over all epochs of all runs, with the runs done beside it."""

    def __init__(self, config, runs, show):
        from tqdm import tqdm

        self._runs, self._done, self._failed = runs, 0, 0
        self._scored = scored = config.protocol.epochs // config.protocol.evaluation.every
        self._bar = tqdm(
            total=runs * scored,
            desc=f"{config.name}: 0/{runs} runs",
            unit="epoch",
            disable=not show or not runs,
            # A log file wants few lines, a terminal a lively bar.
            mininterval=0.1 if os.isatty(2) else 10,
            dynamic_ncols=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._bar.close()

    def epoch_done(self):
        self._bar.update()

    def finished(self, outcome):
        self._done += 1
        self._failed += outcome.error is not None
        # A resumed run brings epochs along that nobody counted.
        self._bar.n = max(self._bar.n, (self._done - self._failed) * self._scored)
        failed = f", {self._failed} failed" if self._failed else ""
        config = outcome.task.config
        self._bar.set_description(
            f"{config.name}: {self._done}/{self._runs} runs{failed}", refresh=False
        )
