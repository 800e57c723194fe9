"""The plan of snapshots: few epochs, balanced samples, bounded files, the same for all methods."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pml_hyperbolic.benchmark.assembly.snapshot_plan import (
    SnapshotPlan,
    balanced_sample,
    snapshot_epochs,
)


@pytest.mark.parametrize(
    ("epochs", "every", "expected"),
    [
        (1, 1, (1,)),
        (2, 1, (1, 2)),
        (10, 1, (1, 2, 4, 10)),
        (16, 1, (1, 2, 4, 8, 16)),
        (64, 1, (1, 2, 4, 8, 16, 32, 64)),
        # The last epoch that is scored.
        (11, 2, (2, 4, 10)),
        (7, 7, (7,)),
        # Distances grow by a factor of 1000 ** (1 / 6).
        (1000, 1, (1, 3, 10, 32, 100, 316, 1000)),
    ],
)
def test_epochs_at_doubling_distances(epochs, every, expected):
    assert snapshot_epochs(range(every, epochs + 1, every)) == expected


def test_epochs_where_the_first_are_not_scored():
    # As HIER's code scores Stanford Online Products.
    assert snapshot_epochs(range(41, 151, 5)) == (41, 46, 56, 76, 146)


@given(st.integers(1, 5000), st.integers(1, 20))
def test_epochs_are_scored_and_few(scored, every):
    found = snapshot_epochs(range(every, scored * every + 1, every))
    assert len(found) <= 7
    assert found[0] == every
    assert found[-1] == scored * every
    assert list(found) == sorted(set(found))
    assert all(epoch % every == 0 for epoch in found)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.integers(4, 100),
)
def test_samples_are_balanced(counts, size):
    labels = np.repeat(np.arange(len(counts)) * 3, counts)
    labels = np.random.default_rng(0).permutation(labels)
    chosen = balanced_sample(labels, size)
    assert list(chosen) == sorted(set(chosen.tolist()))
    found = np.bincount(labels[chosen], minlength=3 * len(counts))[::3]
    available = np.array(counts)
    if len(counts) * 4 > size:
        taken = found > 0
        assert taken.sum() == size // 4
        found, available = found[taken], available[taken]
    assert found.sum() == min(size, available.sum())
    # A class has fewer images than another only where it has no more, but for the last turn.
    assert (np.minimum(available, found.max() - 1) <= found).all()


def test_the_sample_depends_on_the_labels_alone():
    labels = np.arange(500) % 7
    np.random.seed(1)  # noqa: NPY002
    first = balanced_sample(labels, 50)
    np.random.seed(2)  # noqa: NPY002
    assert (balanced_sample(labels, 50) == first).all()


def plan(load, **changes):
    return SnapshotPlan.of(load().protocol.model_copy(update=changes))


def test_short_runs_have_small_samples_and_long_ones_large(load):
    assert plan(load).images == 160
    assert plan(load, epochs=64, steps_per_epoch=200).images == 493
    assert plan(load, epochs=64, steps_per_epoch=2000).images == 1024


@pytest.mark.parametrize("dimension", [2, 128, 512, 2048])
@pytest.mark.parametrize("shared", [True, False])
def test_files_stay_below_20_megabytes(load, dimension, shared):
    found = plan(
        load,
        epochs=64,
        steps_per_epoch=2000,
        embedding_size=dimension,
        equal_total_dimension=shared,
    )
    total = dimension * (1 if shared else 2)
    numbers = 8 * (2 * found.images * total + found.proxy_numbers)
    assert 2 * numbers <= 19_500_000
    assert found.images >= 64
    assert found.proxy_numbers >= found.images * total
