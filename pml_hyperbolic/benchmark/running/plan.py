"""The plan of a benchmark: which of its runs are finished, and which are left to do."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...checked_files import read_checked_text
from ...errors import InputError
from ..assembly.pipeline import run_title
from ..config import BenchmarkConfig
from ..config.yaml_files import parse_yaml
from ..results.finished_run import FinishedRun
from ..results.row import write_rows
from ..results.run_files import (
    BENCHMARK_FILE,
    CONFIG_FILE,
    LAST_FILE,
    RESULT_FILE,
    is_lock_or_leftover,
    refuse_links,
    remove_leftovers,
    run_folder,
)
from .single_run import declarations


@dataclass(frozen=True)
class Task:
    """One run to do. A worker process receives nothing else."""

    config: BenchmarkConfig
    method: str
    fold: int
    seed: int
    folder: Path
    tensorboard: bool

    @property
    def title(self) -> str:
        """Display name."""
        return run_title(self.method, self.fold, self.seed)


class Plan(NamedTuple):
    """The runs of a benchmark.

    Attributes:
        tasks: the runs that are left to do.
        finished: number of the runs that are finished.
    """

    tasks: list[Task]
    finished: int


def check_folder(folder: Path, identity: Mapping[str, str]) -> str | None:
    """Refuse a folder that holds anything but runs of this protocol on these data.

    Args:
        folder: of the benchmark; it need not exist.
        identity: the ``protocol_hash`` and the fingerprint of the ``data``.

    Returns:
        What is wrong with its benchmark.yaml, which is to be written anew; None if nothing is.

    Raises:
        InputError: the folder is another benchmark's, was not made by this command, or is a link.
        OSError: it cannot be read.
    """
    refuse_links(folder)
    # What is no folder is refused when the folder is made.
    if not folder.is_dir():
        return None
    try:
        stored = _stored_identity(folder / BENCHMARK_FILE, identity)
    except (InputError, ValueError, RecursionError) as error:
        problem: str | None = f"{BENCHMARK_FILE} was damaged ({' '.join(str(error).split())})"
    except FileNotFoundError:
        if all(is_lock_or_leftover(path.name) for path in folder.iterdir()):
            return None
        if not any(folder.glob(f"*/fold*_seed*/{CONFIG_FILE}")):
            raise InputError(
                f"{folder} was not made by this command (it has no {BENCHMARK_FILE}): choose "
                f"another --output"
            ) from None
        problem = f"{BENCHMARK_FILE} was missing"
    else:
        _check_identity(folder, stored, identity)
        return None
    # The finished runs know what they are of; unfinished ones will start over.
    for file in sorted(folder.glob(f"*/fold*_seed*/{RESULT_FILE}")):
        row = FinishedRun.read(file.parent).first
        known = {"protocol_hash": row.protocol_hash, "data": row.data or identity["data"]}
        _check_identity(folder, known, identity)
    return f"{problem}: it is written anew, and unfinished runs start over"


def forget_unfinished(folder: Path) -> None:
    """Let the unfinished runs of a benchmark start over."""
    for file in folder.glob(f"*/fold*_seed*/{LAST_FILE}"):
        if not file.parent.is_symlink() and not file.parent.parent.is_symlink():
            file.unlink()


def _stored_identity(file, identity):
    stored = parse_yaml(read_checked_text(file), str(file))
    if not isinstance(stored, dict):
        raise ValueError(f"it holds {type(stored).__name__}")
    missing = [key for key in identity if not isinstance(stored.get(key), str)]
    if missing:
        raise ValueError(f"it lacks {' and '.join(missing)}")
    return stored


def _check_identity(folder, stored, identity):
    for key, difference in (("protocol_hash", "of another protocol"), ("data", "on other data")):
        if stored[key] != identity[key]:
            raise InputError(
                f"{folder} holds runs {difference} ({stored[key]}, this one is {identity[key]}): "
                f"move it away, or keep the new runs elsewhere with name=... or --output"
            )


def plan_runs(config: BenchmarkConfig, folder: Path, *, tensorboard: bool = False) -> Plan:
    """Sort the runs of a benchmark into finished ones and ones that are left to do.

    Rows of finished runs are brought up to date with what their method's config declares.

    Args:
        config: of the benchmark.
        folder: of the benchmark.
        tensorboard: whether the runs write TensorBoard events. Default False.

    Raises:
        InputError: a finished run is unreadable or has other settings than the config.
    """
    tasks, finished, updates, done = [], 0, {}, []
    for name, method in config.methods.items():
        for fold, seed in itertools.product(config.protocol.folds, config.protocol.seeds):
            task = Task(config, name, fold, seed, run_folder(folder, name, fold, seed), tensorboard)
            for place in (task.folder.parent, task.folder):
                refuse_links(place)
            if not (task.folder / RESULT_FILE).exists():
                tasks.append(task)
                continue
            finished += 1
            run = FinishedRun.read(task.folder)
            if run.first.method_hash != method.hash:
                raise InputError(
                    f"{task.folder} was finished with other settings of {name}: remove "
                    f"{folder / name} to run it again, or keep the new runs elsewhere with "
                    f"name=... or --output"
                )
            # A method may have been tuned again to the same values: its numbers remain valid,
            # but it declares another number of trials.
            declared = [row.model_copy(update=declarations(method)) for row in run.rows]
            if declared != run.rows:
                updates[task.folder / RESULT_FILE] = declared
            done.append(task.folder)
    # Nothing is written before all runs were found to be in order.
    for run_of in done:
        remove_leftovers(run_of)
    for file, rows in updates.items():
        write_rows(file, rows)
    return Plan(tasks, finished)
