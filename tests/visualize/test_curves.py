"""Learning curves: means, bands, gaps."""

import numpy as np
import pytest

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.visualize.curves import LearningCurves, curves
from tests.visualize.rendering import assert_legible, words_of

EPOCHS = np.array([0, 1, 2, 5])
VALUES = np.array([[1.0, 2, 3, np.nan], [3, 2, 5, np.nan], [2, 2, 7, np.nan]])


def test_lines_are_means_and_bands_run_from_lowest_to_highest():
    figure = curves({"a": LearningCurves(EPOCHS, VALUES)}, reference=4.5)
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [2, 2, 5, np.nan])
    corners = axes.collections[0].get_paths()[0].vertices
    for epoch, low, high in ((0, 1, 3), (2, 3, 7)):
        heights = corners[corners[:, 0] == epoch, 1]
        assert (heights.min(), heights.max()) == (low, high)
    assert axes.lines[1].get_ydata()[0] == 4.5
    assert "mean of 3 seeds" in words_of(figure)
    assert "untrained features" in words_of(figure)
    assert axes.get_xlabel() == "epoch"


def test_one_seed_has_no_band_and_says_so():
    figure = curves({"a": LearningCurves(EPOCHS, VALUES[:1])})
    assert not figure.axes[0].collections
    assert "no spread" in words_of(figure)


def test_many_methods_stay_legible():
    many = {f"a method with a long name {n}": LearningCurves(EPOCHS, VALUES + n) for n in range(12)}
    assert_legible(curves(many))


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="at least one"):
        curves({})
    with pytest.raises(InputError, match="the curves of 'a'"):
        curves({"a": LearningCurves(EPOCHS, VALUES[:, :2])})
