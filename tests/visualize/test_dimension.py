"""Accuracy over dimension: the points, the bars, the ticks."""

import numpy as np
import pytest

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.visualize.dimension import DimensionScores, dimension
from tests.visualize.rendering import assert_legible, words_of

SCORES = DimensionScores(
    np.array([64, 4, 16]),
    np.array([78.0, 10, 68]),
    np.array([77.0, 8, 66]),
    np.array([79.0, 13, 69]),
)


def test_points_are_sorted_and_bars_are_the_intervals():
    figure = dimension({"HIER": SCORES})
    axes = figure.axes[0]
    line, _, (bars,) = axes.containers[0]
    assert line.get_xdata().tolist() == [4, 16, 64]
    assert line.get_ydata().tolist() == [10, 68, 78]
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [[8, 13], [66, 69], [77, 79]]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["4", "16", "64"]
    assert "95% interval" in words_of(figure)


def test_methods_stand_apart_and_are_named_in_the_order_of_their_ends():
    lower = SCORES._replace(values=SCORES.values - 20, low=SCORES.low - 20, high=SCORES.high - 20)
    figure = dimension({"worse": lower, "better": SCORES})
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["better", "worse"]
    first, second = (c[0].get_xdata() for c in figure.axes[0].containers)
    assert (first < second).all()
    np.testing.assert_allclose(first * second, np.array([4, 16, 64]) ** 2)


def test_many_methods_stay_legible():
    dims = 2 ** np.arange(2, 10)
    many = {
        f"method with a rather long name {n}": DimensionScores(dims, dims + n, dims, dims + 2 * n)
        for n in range(10)
    }
    assert_legible(dimension(many))


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="at least one method"):
        dimension({})
    with pytest.raises(InputError, match="the scores of 'a' must be four arrays"):
        dimension({"a": SCORES._replace(low=np.zeros(2))})
