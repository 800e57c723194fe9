"""Numbers as the cells of a table show them: in percent, with their intervals."""

import math
from collections.abc import Sequence

from ..results.metric_names import PRIMARY
from .comparison import Comparison
from .paired_bootstrap import PairedTest
from .score_group import ScoreGroup
from .statistics import mean_interval, standard_deviation

# The cell of an unknown value.
NOTHING = "-"


def percent(values: Sequence[float], *, signed: bool = False) -> str:
    """Return the mean of fractions in percent, with its 95% interval if there is one."""
    if not values:
        return NOTHING
    mean, half_width, _ = mean_interval(values)
    sign = "+" if signed else ""
    text = f"{100 * mean:{sign}.1f}"
    return text if math.isnan(half_width) else f"{text} ± {100 * half_width:.1f}"


def points(test: PairedTest) -> str:
    """Return a difference in percentage points, with its 95% interval if there is one."""
    text = f"{100 * test.difference:+.1f}"
    return text if math.isnan(test.half_width) else f"{text} ± {100 * test.half_width:.1f}"


def p_value(p: float) -> str:
    """Return a p-value with three decimals; NaN means that nothing was tested."""
    if math.isnan(p):
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def comparison_cells(comparison: Comparison | None) -> list[str]:
    """Return difference, p-value and verdict; None stands for the baseline itself."""
    if comparison is None:
        return [NOTHING] * 3
    return [points(comparison.test), p_value(comparison.p_corrected), comparison.verdict]


def dimension(group: ScoreGroup) -> str:
    """Return the dimension of a space, and that of the whole embedding if they differ."""
    size, total = group.first.dimension, group.first.total_dimension
    return str(size) if size == total else f"{size} of {total}"


def spread(group: ScoreGroup) -> str:
    """Return the standard deviation of the primary metric over the repetitions, in percent."""
    deviation = standard_deviation(group.values("test", PRIMARY))
    return NOTHING if math.isnan(deviation) else f"{100 * deviation:.1f}"
