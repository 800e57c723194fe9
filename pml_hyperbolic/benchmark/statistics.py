"""Mean and interval of a few repetitions."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats


class Interval(NamedTuple):
    """A mean with the half-width of its confidence interval (NaN for a single value)."""

    mean: float
    half_width: float
    count: int


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean of repetitions with its Student t interval; five seeds are too few for a normal one.

    Args:
        values: at least one.
        confidence: between 0 and 1. Default 0.95.

    Raises:
        ValueError: no values, or a confidence outside (0, 1).
    """
    count = len(values)
    if count == 0:
        raise ValueError("mean_interval needs at least one value")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean, math.nan, 1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    quantile = float(stats.t.ppf((1 + confidence) / 2, count - 1))
    return Interval(mean, quantile * math.sqrt(variance / count), count)
