"""ScoreGroup: one line of a report, which is the runs of one method scored in one space."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ..results.finished_run import FinishedRun
from ..results.metric_names import PRIMARY
from ..results.row import Row
from .benchmark_results import BenchmarkResults

Key = tuple[int, int]
# A split of the classes, whose scores a row holds under this name.
Split = Literal["test", "validation", "train"]


@dataclass(frozen=True)
class ScoreGroup:
    """All repetitions of one method in one space.

    Args:
        method: name of the method.
        space: "euclidean" or "hyperbolic".
        runs: (fold, seed) -> run.
        rows: (fold, seed) -> row of this space.
    """

    method: str
    space: str
    runs: dict[Key, FinishedRun]
    rows: dict[Key, Row]

    @property
    def title(self) -> str:
        """Display name."""
        return f"{self.method} ({self.space})"

    @cached_property
    def first(self) -> Row:
        """A row, for what all rows share."""
        return next(iter(self.rows.values()))

    def values(self, split: Split, metric: str) -> list[float]:
        """Return a metric for each repetition, which is the mean over the folds of a seed.

        Args:
            split: whose scores to take.
            metric: key of the metric.

        Returns:
            One value for each repetition; none if a run lacks the metric.
        """
        return self._means({key: getattr(row, split) for key, row in self.rows.items()}, metric)

    def level_values(self, level: str, metric: str) -> list[float]:
        """Return the same as :meth:`values` for the test scores on a coarser level of labels."""
        scores = {key: row.test_levels.get(level, {}) for key, row in self.rows.items()}
        return self._means(scores, metric)

    def concatenated_values(self, metric: str) -> list[float]:
        """Return a metric of all folds' embeddings side by side, for each seed that has it."""
        of_seed: dict[int, float] = {}
        for (_, seed), row in sorted(self.rows.items(), key=lambda item: item[0]):
            # Every fold of a seed repeats the same number.
            if row.concatenated is not None and metric in row.concatenated:
                of_seed.setdefault(seed, row.concatenated[metric])
        return list(of_seed.values())

    @property
    def gap(self) -> list[float]:
        """MAP@R on the training classes minus that on the test classes, for each repetition."""
        train, test = self.values("train", PRIMARY), self.values("test", PRIMARY)
        return [a - b for a, b in zip(train, test, strict=True)] if train else []

    def _means(self, scores, metric):
        """Return a metric of each repetition, given (fold, seed) -> metric -> value."""
        values = {key: metrics.get(metric) for key, metrics in scores.items()}
        if any(value is None for value in values.values()):
            return []
        return [sum(values[key] for key in keys) / len(keys) for keys in repetitions(values.keys())]


def by_seed(keys: Iterable[Key]) -> list[list[Key]]:
    """Group runs into independent repetitions: seeds, whose folds are averaged.

    The folds are the same parts of the same classes for every seed and method.

    Args:
        keys: (fold, seed) of each run.
    """
    keys = sorted(keys)
    seeds = sorted({seed for _, seed in keys})
    return [[key for key in keys if key[1] == seed] for seed in seeds]


def repetitions(keys: Iterable[Key]) -> list[list[Key]]:
    """Group runs into the repetitions that the interval of a mean is taken over.

    These are the seeds, or the folds if there is one seed only. The training classes of folds
    overlap, so that they differ less than new data would: no difference is tested over folds.

    Args:
        keys: (fold, seed) of each run.
    """
    seeds = by_seed(keys)
    return [[key] for key in seeds[0]] if len(seeds) == 1 else seeds


def score_groups(results: BenchmarkResults) -> list[ScoreGroup]:
    """Return the lines of a report: the methods in order, each with its spaces in order."""
    groups: dict[tuple[str, str], ScoreGroup] = {}
    for run in results.runs:
        for row in run.rows:
            name = row.method, row.space
            group = groups.setdefault(name, ScoreGroup(*name, {}, {}))
            group.runs[run.key] = run
            group.rows[run.key] = row
    return list(groups.values())


def common_keys(groups: Collection[ScoreGroup]) -> list[Key]:
    """Return the (fold, seed) that all of these groups have."""
    return sorted(set.intersection(*(set(group.runs) for group in groups)))


def level_names(groups: Iterable[ScoreGroup]) -> list[str]:
    """Return the names of the coarser levels of labels that any run was scored on."""
    rows = [row for group in groups for row in group.rows.values()]
    return list(dict.fromkeys(level for row in rows for level in row.test_levels))
