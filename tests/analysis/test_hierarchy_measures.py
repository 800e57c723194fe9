"""Measures against definitions written out over all pairs, and known trees' known values."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from pml_hyperbolic.analysis.hierarchy_measures import (
    dendrogram_purity,
    level_distances,
    measure_neighbors,
    measure_tree,
    neighbor_tree_distance,
    superclass_share,
    tree_correlation,
)
from pml_hyperbolic.analysis.tree import Tree
from pml_hyperbolic.analysis.tree_building import agglomerative_tree, level_tree
from pml_hyperbolic.errors import InputError

LEVELS = np.array([[0, 0], [0, 0], [1, 0], [1, 0], [2, 1], [2, 1], [3, 1]])
# Merges 0 with 1, 2 with 3, then both pairs: a tree of four leaves.
PAIRS = Tree(np.array([4, 4, 5, 5, 6, 6, -1]), np.array([0, 0, 0, 0, 1.0, 2.0, 3.0]))


def random_tree(seed, leaves):
    generator = np.random.default_rng(seed)
    matrix = generator.random((leaves, leaves))
    return agglomerative_tree((matrix + matrix.T) * (1 - np.eye(leaves)))


def slow_purity(tree, groups):
    """The definition: over all pairs of a group, the purity below their lowest ancestor."""
    members = [set(below.tolist()) for below in tree.members()]
    values = []
    for i, j in itertools.combinations(range(tree.num_leaves), 2):
        if groups[i] == groups[j]:
            below = min((m for m in members if {i, j} <= m), key=len)
            values.append(np.mean([groups[leaf] == groups[i] for leaf in below]))
    return np.mean(values)


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 4))
def test_dendrogram_purity_against_its_definition(seed, leaves, groups):
    labels = np.random.default_rng(seed).integers(0, groups, leaves) * 3 - 1
    assume(len(np.unique(labels)) < leaves)
    tree = random_tree(seed, leaves)
    assert dendrogram_purity(tree, labels) == pytest.approx(slow_purity(tree, labels))


@given(st.integers(0, 10**6))
def test_dendrogram_purity_of_trees_with_any_number_of_children(seed):
    generator = np.random.default_rng(seed)
    fine = generator.integers(0, 4, 9)
    tree = level_tree(np.stack([fine, fine // 2], axis=1))
    labels = generator.integers(0, 3, 9)
    assert dendrogram_purity(tree, labels) == pytest.approx(slow_purity(tree, labels))


def test_purities_that_can_be_counted_by_hand():
    assert dendrogram_purity(PAIRS, np.array([0, 0, 1, 1])) == 1
    # Each of the two pairs meets at the root, half of whose leaves are its own.
    assert dendrogram_purity(PAIRS, np.array([0, 1, 0, 1])) == 0.5
    # (0, 1) meet in a pure node; (0, 2) and (1, 2) at the root, where 3 of 4 are theirs.
    assert dendrogram_purity(PAIRS, np.array([0, 0, 0, 1])) == pytest.approx((1 + 1.5) / 3)
    assert dendrogram_purity(PAIRS, np.zeros(4, int)) == 1


def test_true_distances_count_the_levels_up_to_the_common_one():
    distances = level_distances(LEVELS)
    assert distances[0].tolist() == [0, 1, 2, 2, 3, 3, 3]
    assert distances[6].tolist() == [3, 3, 3, 3, 2, 2, 0]
    np.testing.assert_array_equal(distances, level_tree(LEVELS).cophenetic_distances())


def test_the_true_tree_has_correlation_and_purity_one():
    tree = level_tree(LEVELS)
    assert tree_correlation(tree, LEVELS) == pytest.approx(1)
    assert dendrogram_purity(tree, LEVELS[:, 0]) == 1
    assert dendrogram_purity(tree, LEVELS[:, 1]) == 1


@given(st.integers(0, 10**6))
def test_correlation_is_spearmans_over_all_pairs(seed):
    tree = random_tree(seed, 7)
    pairs = list(itertools.combinations(range(7), 2))
    members = [set(below.tolist()) for below in tree.members()]
    heights = [
        min(tree.heights[n] for n, below in enumerate(members) if {i, j} <= below) for i, j in pairs
    ]
    truth = [1 + sum(LEVELS[i] != LEVELS[j]) for i, j in pairs]
    expected = spearmanr(heights, truth).statistic
    assert tree_correlation(tree, LEVELS) == pytest.approx(expected)


def test_correlation_of_a_tree_without_differences_is_not_a_number():
    star = Tree(np.array([3, 3, 3, -1]), np.array([0, 0, 0, 1.0]))
    assert math.isnan(tree_correlation(star, np.array([0, 0, 1])))


NEIGHBORS = np.array([[1, 2], [0, 3], [3, 0], [2, 1]])
LABELS = np.array([0, 0, 1, 2])  # of four samples
SUPERCLASSES = np.array([0, 0, 1])


def test_shares_and_tree_distances_that_can_be_counted_by_hand():
    # Classes of the neighbours: 0: 0, 1;  0: 0, 2;  1: 2, 0;  2: 1, 0.
    assert superclass_share(NEIGHBORS, LABELS, SUPERCLASSES) == 4 / 8
    others = superclass_share(NEIGHBORS, LABELS, SUPERCLASSES, other_classes_only=True)
    assert others == 2 / 6
    assert neighbor_tree_distance(NEIGHBORS, LABELS, SUPERCLASSES) == (2 * 0 + 2 * 1 + 4 * 2) / 8


def test_without_neighbors_of_other_classes_their_share_is_not_a_number():
    neighbors, labels = np.array([[1], [0]]), np.array([0, 0])
    share = superclass_share(neighbors, labels, np.array([0, 1]), other_classes_only=True)
    assert math.isnan(share)


def test_a_true_tree_stands_far_above_random_trees_of_its_shape():
    measured = measure_tree(level_tree(LEVELS), {"family": LEVELS[:, 0], "order": LEVELS[:, 1]})
    assert set(measured) == {
        "tree_correlation",
        "dendrogram_purity/family",
        "dendrogram_purity/order",
    }
    for line in measured.values():
        assert line.value == pytest.approx(1)
        assert line.random_low <= line.random_mean <= line.random_high < 1


def test_the_random_reference_is_the_mean_over_permuted_leaves():
    groups = np.array([0, 0, 1, 1])
    measured = measure_tree(PAIRS, {"level": groups}, draws=2000)
    exact = np.mean([slow_purity(PAIRS, groups[list(p)]) for p in itertools.permutations(range(4))])
    assert measured["dendrogram_purity/level"].random_mean == pytest.approx(exact, abs=0.02)
    assert measured["tree_correlation"].random_mean == pytest.approx(0, abs=0.05)
    assert measure_tree(PAIRS, {"level": groups}) == measure_tree(PAIRS, {"level": groups})


def test_a_level_without_two_leaves_of_a_superclass_is_left_out():
    measured = measure_tree(PAIRS, {"own": np.arange(4), "half": np.array([0, 0, 1, 1])})
    assert set(measured) == {"tree_correlation", "dendrogram_purity/half"}


def test_neighbors_are_measured_beside_random_superclasses():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 10)
    superclasses = np.arange(12) // 3
    near = [np.flatnonzero(superclasses[labels] == superclasses[own]) for own in labels]
    neighbors = np.stack([generator.choice(rows, 5) for rows in near])
    measured = measure_neighbors(neighbors, labels, {"super": superclasses})
    assert measured["superclass_share/super"].value == 1
    assert measured["superclass_share_of_other_classes/super"].value == 1
    # Another class lies in the superclass with chance 2 / 11.
    others = measured["superclass_share_of_other_classes/super"]
    assert others.random_mean == pytest.approx(2 / 11, abs=0.02)
    assert others.random_high < 0.6
    line = measured["neighbor_tree_distance"]
    assert line.value < line.random_low


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dendrogram_purity(PAIRS, np.arange(4)), "at least two leaves"),
        (lambda: dendrogram_purity(PAIRS, np.zeros(3, int)), r"shape \(4,\)"),
        (lambda: tree_correlation(PAIRS, np.zeros(3, int)), "each of the tree's 4 leaves"),
        (lambda: measure_tree(PAIRS, {}), "arrays of one shape"),
        (lambda: superclass_share(NEIGHBORS[0], LABELS, SUPERCLASSES), r"must be \(N, k\)"),
        (lambda: superclass_share(NEIGHBORS + 1, LABELS, SUPERCLASSES), "neighbors must lie"),
        (lambda: superclass_share(NEIGHBORS, LABELS + 1, SUPERCLASSES), "labels must lie"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
