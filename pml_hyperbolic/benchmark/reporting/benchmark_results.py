"""BenchmarkResults: the finished runs of one or several benchmark folders."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..config.optimization import RATES, TUNED
from ..config.yaml_files import read_mapping
from ..results.finished_run import FinishedRun
from ..results.run_files import BENCHMARK_FILE, CONFIG_FILE, RESULT_FILE

# Between the name of a benchmark and that of its method, where a report has several of them; no
# method's name holds it.
SEPARATOR = ":"
# Where results lie in the folder of a benchmark, of a method and of a single run.
_LEVELS = ("*/*", "*", ".")


@dataclass(frozen=True)
class BenchmarkResults:
    """Runs that a report compares.

    Args:
        runs: methods in the order of their configs, then by fold and seed.
        configs: contents of the benchmark.yaml files, of folders that have one.
        unfinished: folders of runs that have begun and not finished, which are left out.
    """

    runs: list[FinishedRun]
    configs: list[dict[str, Any]]
    unfinished: list[Path] = field(default_factory=list)

    @classmethod
    def read(cls, folders: Iterable[Path | tuple[str, Path]]) -> "BenchmarkResults":
        """Read all finished runs in these folders.

        Args:
            folders: of benchmarks, methods or single runs; a (name, folder) puts the name and a
                colon in front of the folder's methods, so that benchmarks with the same methods
                stand in one table.

        Raises:
            InputError: a folder has no finished runs, a file is malformed, or a run is given twice.
        """
        runs: list[FinishedRun] = []
        configs, unfinished = [], []
        for folder in folders:
            name, path = folder if isinstance(folder, tuple) else ("", folder)
            found, config, begun = _read_folder(Path(path))
            if name:
                found, config = [_named(name, run) for run in found], _named_config(name, config)
            runs += found
            unfinished += begun
            if config:
                configs.append(config)
        seen: dict[tuple, FinishedRun] = {}
        for run in runs:
            first = seen.setdefault((run.method, run.key), run)
            if first is not run:
                fold, seed = run.key
                raise InputError(
                    f"{run.method}, fold {fold}, seed {seed} is given twice, in {first.folder} and "
                    f"{run.folder}: a report has one line for each method, so give the benchmarks "
                    f"names (report first=FOLDER second=FOLDER) or leave one out"
                )
        return cls(runs, configs, unfinished)

    @property
    def methods(self) -> list[str]:
        """Names of the methods in their order."""
        return list(dict.fromkeys(run.method for run in self.runs))

    @property
    def baseline(self) -> str | None:
        """The baseline that a config names, if any does."""
        return next((c["baseline"] for c in self.configs if c.get("baseline")), None)

    @property
    def twins(self) -> dict[str, str]:
        """Name of a flat twin -> name of its method."""
        found = {method: self.setting(method, "flat_twin_of") for method in self.methods}
        return {twin: method for twin, method in found.items() if method}

    @property
    def optimizers(self) -> list[dict[str, Any]]:
        """The optimizer's section of each config, empty where it has none."""
        return [(config.get("protocol") or {}).get("optimizer") or {} for config in self.configs]

    @property
    def tuned_rates(self) -> list[str]:
        """The learning rates that a protocol leaves to its methods."""
        return [key for key in RATES if any(one.get(key) == TUNED for one in self.optimizers)]

    def of_method(self, name: str) -> list[FinishedRun]:
        """Return the runs of one method."""
        return [run for run in self.runs if run.method == name]

    def published(self, method: str | None = None, space: str | None = None) -> list[dict]:
        """Return the published numbers that the configs quote.

        Args:
            method: return those of this method only. Default: of all methods.
            space: together with ``method``: return those of this space, or of no space in
                particular.
        """
        items = [item for config in self.configs for item in config.get("published") or []]
        if method is None:
            return items
        return [
            item
            for item in items
            if item["method"] == method and item.get("space") in (None, space)
        ]

    def setting(self, method: str, key: str) -> Any:
        """Return what a method declares: in its rows, else in its config, else None.

        Args:
            method: its name.
            key: such as "flat_twin_of", a field of ``Row``.
        """
        for run in self.of_method(method):
            value = getattr(run.first, key)
            if value is not None:
                return value
        for config in self.configs:
            settings = (config.get("methods") or {}).get(method) or {}
            if settings.get(key) is not None:
                return settings[key]
        return None


def bare_name(method: str) -> str:
    """Return a method's name without that of its benchmark."""
    return method.rpartition(SEPARATOR)[2]


def _named(name, run):
    """Return a run whose method has the name of its benchmark in front."""
    rows = []
    for row in run.rows:
        changes = {"method": f"{name}{SEPARATOR}{row.method}"}
        if row.flat_twin_of is not None:
            changes["flat_twin_of"] = f"{name}{SEPARATOR}{row.flat_twin_of}"
        rows.append(row.model_copy(update=changes))
    return FinishedRun(run.folder, rows)


def _named_config(name, config):
    """Return a config whose methods have the name of their benchmark in front."""
    if not config:
        return config

    def named(method):
        return f"{name}{SEPARATOR}{method}"

    methods = {}
    for method, settings in (config.get("methods") or {}).items():
        twin_of = (settings or {}).get("flat_twin_of")
        changes = {"flat_twin_of": named(twin_of)} if twin_of else {}
        methods[named(method)] = {**(settings or {}), **changes}
    published = [
        {**item, "method": named(item["method"])} for item in config.get("published") or []
    ]
    baseline = {"baseline": named(config["baseline"])} if config.get("baseline") else {}
    return {**config, "methods": methods, "published": published, **baseline}


def _read_folder(folder):
    """Return (its runs, content of its benchmark.yaml or {}, folders of unfinished runs)."""
    level, files = next(
        (
            (level, found)
            for level in _LEVELS
            if (found := list(folder.glob(f"{level}/{RESULT_FILE}")))
        ),
        ("", []),
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
    begun = sorted(file.parent for file in folder.glob(f"{level}/{CONFIG_FILE}"))
    return runs, config, [run for run in begun if not (run / RESULT_FILE).exists()]
