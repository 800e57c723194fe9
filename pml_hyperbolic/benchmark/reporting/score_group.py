"""ScoreGroup: one line of a report, the runs of one method scored in one space."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

from ..results.finished_run import FinishedRun
from ..results.metric_names import PRIMARY
from .benchmark_results import BenchmarkResults

Key = tuple[int, int]


@dataclass(frozen=True)
class ScoreGroup:
    """All repetitions of one method in one space.

    Args:
        method: its name.
        space: of its embedding.
        runs: by (fold, seed).
        rows: of this space, by (fold, seed).
    """

    method: str
    space: str
    runs: dict[Key, FinishedRun]
    rows: dict[Key, dict]

    @property
    def title(self) -> str:
        """How sentences call it."""
        return f"{self.method} ({self.space})"

    @cached_property
    def first(self) -> dict:
        """A row, for what all of them share."""
        return next(iter(self.rows.values()))

    def values(self, section: str, metric: str) -> list[float]:
        """A metric of each repetition: the mean over the folds of a seed.

        Args:
            section: "test", "validation" or "train".
            metric: its key there.

        Returns:
            Empty where not every run has it.
        """
        return self._means({key: row.get(section) for key, row in self.rows.items()}, metric)

    def level_values(self, level: str, metric: str) -> list[float]:
        """As :meth:`values`, of the test scores on coarser labels."""
        sections = {
            key: (row.get("test_levels") or {}).get(level) for key, row in self.rows.items()
        }
        return self._means(sections, metric)

    def concatenated_values(self, metric: str) -> list[float]:
        """A metric of each seed's embeddings of all folds side by side; empty where none has it."""
        by_seed: dict[int, float] = {}
        for (_, seed), row in sorted(self.rows.items()):
            value = (row.get("concatenated") or {}).get(metric)
            # Every fold's row may tell it: it is one number all the same.
            if value is not None:
                by_seed.setdefault(seed, value)
        return list(by_seed.values())

    @property
    def gap(self) -> list[float]:
        """MAP@R on training classes less that on test classes, of each repetition."""
        train, test = self.values("train", PRIMARY), self.values("test", PRIMARY)
        return [a - b for a, b in zip(train, test, strict=True)] if train else []

    def _means(self, sections, metric):
        """A metric of one section of each run, averaged within repetitions."""
        values = {key: (section or {}).get(metric) for key, section in sections.items()}
        if any(value is None for value in values.values()):
            return []
        return [sum(values[key] for key in keys) / len(keys) for keys in repetitions(values.keys())]


def by_seed(keys: Iterable[Key]) -> list[list[Key]]:
    """Runs grouped into what is independent: seeds, whose folds are averaged.

    The folds are the same parts of the same classes for every seed and method.

    Args:
        keys: (fold, seed) of each run.
    """
    keys = sorted(keys)
    seeds = sorted({seed for _, seed in keys})
    return [[key for key in keys if key[1] == seed] for seed in seeds]


def repetitions(keys: Iterable[Key]) -> list[list[Key]]:
    """Runs grouped into what the interval of a mean is taken over.

    Seeds; with one seed only, its folds. Their training classes overlap, so that they differ less
    than new data would: no difference is tested over them.

    Args:
        keys: (fold, seed) of each run.
    """
    seeds = by_seed(keys)
    return [[key] for key in seeds[0]] if len(seeds) == 1 else seeds


def score_groups(results: BenchmarkResults) -> list[ScoreGroup]:
    """The lines of a report: methods in their order, each with its spaces in theirs."""
    groups: dict[tuple[str, str], ScoreGroup] = {}
    for run in results.runs:
        for row in run.rows:
            name = row["method"], row["space"]
            group = groups.setdefault(name, ScoreGroup(*name, {}, {}))
            group.runs[run.key] = run
            group.rows[run.key] = row
    return list(groups.values())


def common_keys(groups: Collection[ScoreGroup]) -> list[Key]:
    """The (fold, seed) that all of these groups have."""
    return sorted(set.intersection(*(set(group.runs) for group in groups)))
