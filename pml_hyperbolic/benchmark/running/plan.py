"""The plan of a benchmark: which of its runs are finished, and which are left to do."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...errors import InputError
from ..assembly.pipeline import run_title
from ..config import BenchmarkConfig
from ..config.yaml_files import read_mapping
from ..results.finished_run import FinishedRun
from ..results.row import write_rows
from ..results.run_files import BENCHMARK_FILE, RESULT_FILE, run_folder
from .folder_lock import FolderLock
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


def check_folder(folder: Path, identity: Mapping[str, str]) -> None:
    """Refuse a folder that holds anything but runs of this protocol on these data.

    Args:
        folder: of the benchmark; it need not exist.
        identity: the ``protocol_hash`` and the fingerprint of the ``data``.

    Raises:
        InputError: the folder is another benchmark's, or was not made by this command.
    """
    file = folder / BENCHMARK_FILE
    if file.exists():
        stored = read_mapping(file)
        for key, difference in (
            ("protocol_hash", "of another protocol"),
            ("data", "on other data"),
        ):
            if stored.get(key) != identity[key]:
                raise InputError(
                    f"{folder} holds runs {difference} ({stored.get(key)}, this one is "
                    f"{identity[key]}): move it away, or keep the new runs elsewhere with "
                    f"name=... or --output"
                )
    elif folder.exists() and any(path.name not in FolderLock.FILES for path in folder.iterdir()):
        raise InputError(
            f"{folder} was not made by this command (it has no {BENCHMARK_FILE}): choose another "
            f"--output"
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
    tasks, finished, updates = [], 0, {}
    for name, method in config.methods.items():
        for fold, seed in itertools.product(config.protocol.folds, config.protocol.seeds):
            task = Task(config, name, fold, seed, run_folder(folder, name, fold, seed), tensorboard)
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
    # Nothing is written before all runs were found to be in order.
    for file, rows in updates.items():
        write_rows(file, rows)
    return Plan(tasks, finished)
