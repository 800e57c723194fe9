"""BenchmarkResults: the finished runs of one or several benchmark folders."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..config.yaml_files import read_mapping
from ..results.finished_run import FinishedRun
from ..results.run_files import BENCHMARK_FILE, RESULT_FILE

# A benchmark's folder, a method's, a single run's.
_LEVELS = ("*/*", "*", ".")


@dataclass(frozen=True)
class BenchmarkResults:
    """Runs that a report puts side by side.

    Args:
        runs: methods in the order of their configs, then by fold and seed.
        configs: what their benchmark.yaml files hold, of folders that have one.
    """

    runs: list[FinishedRun]
    configs: list[dict]

    @classmethod
    def read(cls, folders: Iterable[Path]) -> "BenchmarkResults":
        """All finished runs in these folders.

        Raises:
            InputError: a folder without finished runs, an unreadable file, or one run twice.
        """
        runs: list[FinishedRun] = []
        configs = []
        for folder in folders:
            found, config = _read_folder(Path(folder))
            runs += found
            if config:
                configs.append(config)
        seen: dict[tuple, FinishedRun] = {}
        for run in runs:
            first = seen.setdefault((run.method, run.key), run)
            if first is not run:
                fold, seed = run.key
                raise InputError(
                    f"{run.method}, fold {fold}, seed {seed} is given twice, in {first.folder} and "
                    f"{run.folder}: a report has one line a method, leave one out"
                )
        return cls(runs, configs)

    @property
    def methods(self) -> list[str]:
        """Names in their order."""
        return list(dict.fromkeys(run.method for run in self.runs))

    def of_method(self, name: str) -> list[FinishedRun]:
        """The runs of one method."""
        return [run for run in self.runs if run.method == name]

    def setting(self, method: str, key: str) -> Any:
        """A setting of a method: as its rows tell it, else its config; None where neither does."""
        for run in self.of_method(method):
            if run.rows[0].get(key) is not None:
                return run.rows[0][key]
        for config in self.configs:
            settings = (config.get("methods") or {}).get(method) or {}
            if settings.get(key) is not None:
                return settings[key]
        return None


def _read_folder(folder):
    """(runs of a folder, content of its benchmark.yaml or {})."""
    files = next(
        (found for level in _LEVELS if (found := list(folder.glob(f"{level}/{RESULT_FILE}")))), []
    )
    if not files:
        raise InputError(
            f"{folder} has no finished run (no {RESULT_FILE}): give the folder of a benchmark that "
            f"`pml-hyperbolic run` made, such as runs/digits"
        )
    runs = [FinishedRun.read(file.parent) for file in files]
    file = next(
        (
            parent / BENCHMARK_FILE
            for parent in (folder, *folder.resolve().parents[:2])
            if (parent / BENCHMARK_FILE).is_file()
        ),
        None,
    )
    config = read_mapping(file) if file else {}
    rank = {name: i for i, name in enumerate(config.get("methods") or {})}
    runs.sort(key=lambda run: (rank.get(run.method, len(rank)), run.method, run.key))
    return runs, config
