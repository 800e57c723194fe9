"""Means and intervals against scipy's own."""

import math

import pytest
from scipy import stats

from pml_hyperbolic.benchmark.statistics import mean_interval


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("values", [[1.0, 2.0], [0.1, 0.4, 0.35, 0.2, 0.9], [3.0, 3.0, 3.0]])
def test_against_scipy(values, confidence):
    result = mean_interval(values, confidence)
    assert result.mean == pytest.approx(sum(values) / len(values))
    assert result.count == len(values)
    if len(set(values)) == 1:
        assert result.half_width == 0
        return
    low, high = stats.t.interval(
        confidence, len(values) - 1, loc=result.mean, scale=stats.sem(values)
    )
    assert result.mean - result.half_width == pytest.approx(low, rel=1e-12)
    assert result.mean + result.half_width == pytest.approx(high, rel=1e-12)


def test_one_value_has_no_interval():
    mean, half_width, count = mean_interval([0.5])
    assert (mean, count) == (0.5, 1)
    assert math.isnan(half_width)


@pytest.mark.parametrize(
    ("values", "confidence", "message"),
    [([], 0.95, "at least one"), ([1.0], 1.0, "got 1.0"), ([1.0], 0, "between 0 and 1")],
)
def test_what_is_refused(values, confidence, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(values, confidence)
