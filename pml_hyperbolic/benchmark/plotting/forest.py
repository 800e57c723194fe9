"""Differences of all lines to the baseline."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...errors import InputError
from ...visualize.forest import BETTER, UNDECIDED, WORSE, Difference, forest
from ..reporting.comparison import Comparison
from ..reporting.score_group import ScoreGroup
from ..results.metric_names import PRIMARY, metric_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def differences(
    groups: Sequence[ScoreGroup], comparisons: Mapping[int, Comparison]
) -> list[Difference]:
    """Return the differences to the baseline in percentage points, with 95% intervals.

    Args:
        groups: all lines.
        comparisons: number of a line -> its comparison in one metric.
    """
    found = []
    for number, comparison in comparisons.items():
        value, half = 100 * comparison.test.difference, 100 * comparison.test.half_width
        half = 0.0 if math.isnan(half) else half
        shown = comparison.verdict if comparison.verdict in (BETTER, WORSE) else UNDECIDED
        found.append(Difference(groups[number].title, value, value - half, value + half, shown))
    return found


def draw_forest(
    groups: Sequence[ScoreGroup],
    baseline: ScoreGroup,
    comparisons: Mapping[int, Comparison],
    *,
    metric: str = PRIMARY,
) -> "Figure":
    """Draw the differences of all lines to the baseline.

    Args:
        groups: all lines.
        baseline: one of the lines.
        comparisons: number of a line -> its comparison in the metric.
        metric: its key. Default MAP@R.

    Raises:
        InputError: there is nothing to compare the baseline with.
    """
    lines = differences(groups, comparisons)
    if not lines:
        raise InputError(f"there is nothing to compare {baseline.title} with: give more runs")
    seeds = {len({seed for _, seed in comparison.keys}) for comparison in comparisons.values()}
    interval = "95% interval" if max(seeds) > 1 else "none: one seed says nothing about others"
    return forest(
        lines,
        baseline=baseline.title,
        metric=f"{metric_title(metric)} (points)",
        interval=interval,
    )
