"""Every space of an embedding is scored by its own calculator."""

import pytest

from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.utils import (
    CosineAccuracyCalculator,
    EmbeddingSpace,
    EmbeddingSpacesCalculator,
    HyperbolicAccuracyCalculator,
)
from tests.utils.slow_metrics import CPU, data


def two_spaces():
    return {
        "euclidean": EmbeddingSpace((None, 3), CosineAccuracyCalculator(device=CPU)),
        "hyperbolic": EmbeddingSpace(
            slice(3, None), HyperbolicAccuracyCalculator(PoincareDistance(), device=CPU)
        ),
    }


def test_spaces_are_scored_each_by_its_own_columns():
    x, labels = data(size=7)
    spaces = two_spaces()
    both = EmbeddingSpacesCalculator(spaces)
    scores = both.get_accuracy(x, labels, x, labels, True)
    flat = spaces["euclidean"].accuracy_calculator.get_accuracy(x[:, :3], labels)
    curved = spaces["hyperbolic"].accuracy_calculator.get_accuracy(x[:, 3:], labels)
    for metric in flat:
        assert scores[f"euclidean_{metric}"] == flat[metric]
        assert scores[f"hyperbolic_{metric}"] == scores[metric] == curved[metric]
    assert set(both.get_curr_metrics()) == set(scores)
    assert both.description() == "hyperbolic_geodesic_c0p1"
    by_flat = EmbeddingSpacesCalculator(spaces, primary="euclidean")
    assert by_flat.get_accuracy(x, labels)["r_precision"] == flat["r_precision"]


def test_include_and_exclude_of_a_call_select_the_metrics_of_every_space():
    x, labels = data(size=7)
    both = EmbeddingSpacesCalculator(two_spaces())
    every = both.get_accuracy(x, labels)
    chosen = both.get_accuracy(x, labels, include=("r_precision", "recall_at_2"))
    names = {"r_precision", "recall_at_2"}
    assert set(chosen) == names | {f"{s}_{n}" for s in both.spaces for n in names}
    assert chosen == {name: every[name] for name in chosen}
    assert set(both.get_curr_metrics()) == set(chosen)
    left = both.get_accuracy(x, labels, exclude=("AMI", "NMI"))
    assert left == {name: every[name] for name in every if not name.endswith(("AMI", "NMI"))}


def test_bad_spaces():
    calculator = CosineAccuracyCalculator(device=CPU)
    with pytest.raises(ValueError, match="at least one"):
        EmbeddingSpacesCalculator({})
    with pytest.raises(ValueError, match="CUB-200"):
        EmbeddingSpacesCalculator({"CUB-200": EmbeddingSpace((0, 2), calculator)})
    with pytest.raises(ValueError, match="primary must be one of"):
        EmbeddingSpacesCalculator({"flat": EmbeddingSpace((0, 2), calculator)}, primary="x")
    x, labels = data(size=4)
    for columns in ((0, 5), (4, None)):
        with pytest.raises(ValueError, match="embeddings with 4 columns"):
            EmbeddingSpacesCalculator({"flat": (columns, calculator)}).get_accuracy(x, labels)
