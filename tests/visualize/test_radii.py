"""Histograms of radii: counts, shares, the clip radius."""

import numpy as np
import pytest

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.visualize.radii import radii, radius_histograms
from tests.visualize.rendering import assert_legible, words_of

SNAPSHOTS = [np.array([0.5, 1.0, 1.5]), np.array([4.6, 4.6, 4.59999]), np.array([4.6, 1.0, 1.0])]


def test_histograms_on_common_bins():
    counts, edges, saturated = radius_histograms(SNAPSHOTS, limit=4.6, bins=10)
    assert counts.sum(1).tolist() == [3, 3, 3]
    assert counts[1].tolist() == [0] * 9 + [3]
    assert edges[0] == 0
    assert edges[-1] > 4.6
    assert saturated.tolist() == pytest.approx([0, 1, 1 / 3])
    assert radius_histograms(SNAPSHOTS, limit=None)[2].tolist() == [0, 0, 0]


def test_a_row_an_epoch_scaled_to_its_highest_bin():
    counts, edges, saturated = radius_histograms(SNAPSHOTS, limit=4.6, bins=10)
    figure = radii(counts, edges, [0, 4, 64], limit=4.6, saturated=saturated)
    axes = figure.axes[0]
    assert len(axes.patches) == 3
    for row, patch in enumerate(axes.patches):
        heights, drawn_edges, baseline = patch.get_data()
        np.testing.assert_array_equal(drawn_edges, edges)
        share = (heights - baseline) / (heights - baseline).max()
        np.testing.assert_allclose(share, counts[row] / counts[row].max())
    assert axes.lines[0].get_xdata()[0] == 4.6
    assert [t.get_text() for t in axes.get_yticklabels()] == ["0", "4", "64"]
    assert "33%" in words_of(figure)
    assert "clip radius" in words_of(figure)


@pytest.mark.parametrize("epochs", [1, 2, 8, 20])
@pytest.mark.parametrize("title", ["", "HIER, 1,024 test images"])
def test_any_number_of_epochs_is_legible(epochs, title):
    generator = np.random.default_rng(0)
    rows = [generator.normal(2, 0.3, 100) for _ in range(epochs)]
    counts, edges, saturated = radius_histograms(rows, limit=2.3)
    names = [f"{n * 100}" for n in range(epochs)]
    assert_legible(radii(counts, edges, names, limit=2.3, saturated=saturated, title=title))
    assert "clip radius" not in words_of(radii(counts, edges, names, limit=None))


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match=r"\(epochs, bins\) = \(2, 3\)"):
        radii(np.ones((2, 4)), np.arange(4), [0, 1], limit=1.0)
    with pytest.raises(InputError, match="every epoch must have points"):
        radii(np.zeros((1, 3)), np.arange(4), [0], limit=1.0)
    with pytest.raises(InputError, match="1 saturated shares for 2"):
        radii(np.ones((2, 3)), np.arange(4), [0, 1], limit=1.0, saturated=[1])
    with pytest.raises(InputError, match="must be finite"):
        radius_histograms([np.array([np.nan])], limit=None)
