"""ComparedRuns: finished runs, the lines they make, and how these compare with a baseline."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..results.metric_names import PRIMARY
from .benchmark_results import BenchmarkResults
from .comparability import check_comparable
from .comparison import Comparison, CurvatureControl, choose_baseline, compare, curvature_controls
from .score_group import ScoreGroup, score_groups


@dataclass(frozen=True)
class ComparedRuns:
    """What the text report and the page are made of.

    Args:
        results: the runs and the configs.
        groups: the lines: every method in every space.
        baseline: one of the lines.
        reason: why it is the baseline.
        comparisons: metric -> number of a line -> its comparison with the baseline.
        controls: comparisons of methods with their flat twins.
        reservations: overridden checks, declared exceptions, and what could not be checked.
    """

    results: BenchmarkResults
    groups: list[ScoreGroup]
    baseline: ScoreGroup
    reason: str
    comparisons: dict[str, dict[int, Comparison]]
    controls: list[CurvatureControl]
    reservations: list[str]

    @property
    def primary(self) -> dict[int, Comparison]:
        """Number of a line -> its comparison in the primary metric."""
        return self.comparisons[PRIMARY]


def compare_runs(
    folders: Iterable[Path | tuple[str, Path]],
    *,
    baseline: str | None = None,
    allowed: Collection[str] = (),
) -> ComparedRuns:
    """Read all finished runs in these folders and compare them.

    Args:
        folders: of benchmarks, methods or single runs; a (name, folder) puts the name in front of
            the folder's methods.
        baseline: the method that others are compared with, or ``method/space``. Default: the
            config's, else the first Euclidean method.
        allowed: keys of ``comparability.CHECKS`` whose findings do not stop the comparison.
            Default none.

    Raises:
        InputError: there are no runs, they cannot be compared, or there is no such baseline.
    """
    results = BenchmarkResults.read(folders)
    reservations = check_comparable(results, allowed)
    groups = score_groups(results)
    reference, reason = choose_baseline(groups, baseline, results.baseline)
    comparisons = compare(groups, reference, results.twins)
    controls = curvature_controls(groups, reference, comparisons[PRIMARY], results.twins)
    return ComparedRuns(results, groups, reference, reason, comparisons, controls, reservations)
