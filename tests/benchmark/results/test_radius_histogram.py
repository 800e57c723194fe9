"""Histograms of radii: nothing is lost, and ranges of different epochs are brought together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pml_hyperbolic.benchmark.results.radius_histogram import (
    BINS,
    RadiusHistogram,
    on_common_bins,
)

RADII = st.lists(st.floats(0, 50, width=32), min_size=1, max_size=30)


def test_up_to_the_clip_radius():
    radii = np.array([0.0, 1.149, 2.3, 2.3, 7.0], np.float32)
    end, counts = RadiusHistogram.of(radii, 2.3)
    assert end == 2.3
    assert {bin: count for bin, count in enumerate(counts) if count} == {0: 1, 29: 1, 59: 3}


def test_without_a_clip_radius_the_range_grows():
    assert RadiusHistogram.of(np.array([0.1]), None).end == 0.125
    assert RadiusHistogram.of(np.array([0.1, 3.0]), None).end == 4.0
    assert RadiusHistogram.of(np.array([0.1, 4.0]), None).end == 4.0


def test_radii_that_are_not_finite_are_left_out():
    assert sum(RadiusHistogram.of(np.array([1.0, np.nan, np.inf]), None).counts) == 1
    assert sum(RadiusHistogram.of(np.array([np.nan]), None).counts) == 0


@given(st.lists(RADII, min_size=1, max_size=4))
def test_common_bins_count_as_if_the_range_had_been_known(epochs):
    arrays = [np.array(radii, np.float32) for radii in epochs]
    edges, counts = on_common_bins([RadiusHistogram.of(radii, None) for radii in arrays])
    assert edges.shape == (BINS + 1,)
    assert edges[-1] >= max(radii.max() for radii in arrays)
    assert counts.sum(1).tolist() == [len(radii) for radii in arrays]
    for row, radii in zip(counts, arrays, strict=True):
        centres = np.repeat((edges[:-1] + edges[1:]) / 2, row)
        # Each radius is in its bin; NumPy rounds at the edges.
        assert np.abs(centres - np.sort(radii)).max() <= edges[1] / 2 * (1 + 1e-6)


def test_one_common_range_is_kept():
    one = RadiusHistogram.of(np.array([0.5, 2.0]), 2.3)
    edges, counts = on_common_bins([one, one])
    assert edges[-1] == pytest.approx(2.3)
    assert counts.tolist() == [one.counts, one.counts]
