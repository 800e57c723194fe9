"""Means, intervals and corrections agree with scipy, slow references and values by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from pml_hyperbolic.benchmark.reporting.statistics import (
    holm,
    mean_interval,
    standard_deviation,
    verdict,
)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("values", [[1.0, 2.0], [0.1, 0.4, 0.35, 0.2, 0.9], [3.0, 3.0, 3.0]])
def test_against_scipy(values, confidence):
    result = mean_interval(values, confidence)
    assert result.mean == pytest.approx(sum(values) / len(values))
    assert result.repetitions == len(values)
    if len(set(values)) == 1:
        assert result.half_width == 0
        return
    low, high = stats.t.interval(
        confidence, len(values) - 1, loc=result.mean, scale=stats.sem(values)
    )
    assert result.mean - result.half_width == pytest.approx(low, rel=1e-12)
    assert result.mean + result.half_width == pytest.approx(high, rel=1e-12)


def test_one_value_has_no_interval():
    mean, half_width, repetitions = mean_interval([0.5])
    assert (mean, repetitions) == (0.5, 1)
    assert math.isnan(half_width)


@pytest.mark.parametrize(
    ("values", "confidence", "message"),
    [([], 0.95, "at least one"), ([1.0], 1.0, "got 1.0"), ([1.0], 0, "between 0 and 1")],
)
def test_wrong_arguments_are_refused(values, confidence, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(values, confidence)


def test_standard_deviation():
    assert standard_deviation([0.1, 0.4, 0.35]) == pytest.approx(np.std([0.1, 0.4, 0.35], ddof=1))
    assert math.isnan(standard_deviation([0.4]))


def test_holm_by_hand():
    # 4 x 0.005, 3 x 0.01, then the larger of 2 x 0.03 and 1 x 0.04 for both.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def closed_test(p_values):
    """Compute Holm's correction by closed testing over all subsets, of which it is a shortcut."""
    corrected = []
    for i in range(len(p_values)):
        subsets = [
            subset
            for size in range(1, len(p_values) + 1)
            for subset in itertools.combinations(range(len(p_values)), size)
            if i in subset
        ]
        # Bonferroni's test of each intersection.
        corrected.append(max(min(1, len(s) * min(p_values[j] for j in s)) for s in subsets))
    return corrected


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_holm_is_closed_testing(count):
    p_values = list(np.random.default_rng(count).uniform(0, 0.3, count))
    assert holm(p_values) == pytest.approx(closed_test(p_values))
    assert holm([*p_values[:1], *p_values]) == pytest.approx(
        closed_test([*p_values[:1], *p_values])
    )


def test_holm_leaves_out_what_was_not_tested():
    first, none, second = holm([0.01, math.nan, 0.04])
    assert (first, second) == pytest.approx((0.02, 0.04))
    assert math.isnan(none)


@pytest.mark.parametrize(
    ("difference", "p", "words"),
    [
        (0.1, 0.049, "better"),
        (-0.1, 0.049, "worse"),
        (0.1, 0.05, "no difference shown"),
        (0.1, math.nan, "not tested"),
    ],
)
def test_verdicts(difference, p, words):
    assert verdict(difference, p) == words
