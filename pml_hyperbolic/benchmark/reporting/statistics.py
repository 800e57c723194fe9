"""Means, intervals and corrections: pure functions of plain numbers."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

# The level of all tests, and one minus the confidence of all intervals.
SIGNIFICANCE = 0.05


class Interval(NamedTuple):
    """A mean with the half-width of its confidence interval, which is NaN for a single value."""

    mean: float
    half_width: float
    repetitions: int


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean of repetitions with its Student-t interval.

    Three to five seeds are too few for a normal interval.

    Args:
        values: one or more.
        confidence: between 0 and 1. Default 0.95.

    Raises:
        ValueError: there are no values, or the confidence is outside (0, 1).
    """
    count = len(values)
    if count == 0:
        raise ValueError("mean_interval needs at least one value")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean, math.nan, 1)
    quantile = float(stats.t.ppf((1 + confidence) / 2, count - 1))
    return Interval(mean, quantile * standard_deviation(values) / math.sqrt(count), count)


def standard_deviation(values: Sequence[float]) -> float:
    """Return the sample standard deviation (divisor n - 1) of values; NaN for a single value."""
    if len(values) < 2:
        return math.nan
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values with Holm's step-down correction for multiple comparisons.

    If the corrected values are compared with a level, the probability of any false rejection is at
    most that level, however the tests depend on each other.

    Args:
        p_values: of one family, between 0 and 1; NaN stands for a test that was not made and is
            not counted.

    Returns:
        The corrected values in the same order; NaN remains NaN.
    """
    made = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(made):
        largest = max(largest, min(1.0, (len(made) - rank) * p))
        corrected[i] = largest
    return corrected


def verdict(difference: float, p_value: float) -> str:
    """Return in words what a comparison has shown; "no difference shown" does not mean none.

    Args:
        difference: of the means, the baseline's subtracted.
        p_value: two-sided and corrected; NaN if nothing could be tested.
    """
    if math.isnan(p_value):
        return "not tested"
    if p_value >= SIGNIFICANCE:
        return "no difference shown"
    return "better" if difference > 0 else "worse"
