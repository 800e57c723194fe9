"""Trees against slow constructions of their own, and known trees found again."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pml_hyperbolic.analysis.hierarchy_measures import dendrogram_purity
from pml_hyperbolic.analysis.tree_building import (
    agglomerative_tree,
    ancestor_tree,
    hyphc_tree,
    level_tree,
    pair_ancestors,
)
from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.functional import lca_depth


def test_the_ancestor_of_a_pair_is_the_proxy_whose_farther_point_is_nearest():
    distances = np.random.default_rng(0).random((6, 5))
    pairs = np.array(list(itertools.combinations(range(6), 2)))
    found = pair_ancestors(distances, pairs)
    for (i, j), ancestor in zip(pairs, found, strict=True):
        worst = [max(distances[i, p], distances[j, p]) for p in range(5)]
        assert ancestor == worst.index(min(worst))


def test_no_pairs_have_no_ancestors():
    assert pair_ancestors(np.ones((3, 2)), np.zeros((0, 2), int)).shape == (0,)


@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 5))
def test_ancestor_tree_against_clusters_as_sets(seed, leaves, proxies):
    distances = np.random.default_rng(seed).random((leaves, proxies))
    tree = ancestor_tree(distances)
    clusters = {frozenset([leaf]) for leaf in range(leaves)}
    heights = []
    while len(clusters) > 1:
        costs = {
            (a, b): distances[sorted(a | b)].max(0).min()
            for a, b in itertools.combinations(clusters, 2)
        }
        a, b = min(costs, key=costs.get)
        heights.append(costs[a, b])
        clusters = (clusters - {a, b}) | {a | b}
    np.testing.assert_allclose(tree.heights[leaves:], heights)
    for node, members in enumerate(tree.members()[leaves:], leaves):
        reach = distances[members].max(0)
        assert tree.heights[node] == reach.min()
        assert reach[tree.ancestors[node]] == reach.min()
    assert (tree.ancestors[:leaves] == -1).all()


def test_ancestors_that_were_placed_above_their_classes_are_found():
    # Classes 0, 1 hang under proxy 0; 2, 3 under proxy 1; all four under proxy 2.
    distances = np.array([[1, 9, 5], [1, 9, 5], [9, 1, 5], [9, 1, 5]])
    tree = ancestor_tree(distances)
    assert tree.ancestors.tolist() == [-1, -1, -1, -1, 0, 1, 2]
    assert tree.heights.tolist() == [0, 0, 0, 0, 1, 1, 5]
    assert dendrogram_purity(tree, np.array([0, 0, 1, 1])) == 1


def test_hyphc_decoding_merges_the_deepest_ancestors_first():
    # A known tree on the disk: two pairs of leaves at small angles, on opposite sides.
    angles = torch.tensor([0.0, 0.2, 3.1, 3.4])
    points = 1.8 * torch.stack([angles.cos(), angles.sin()], dim=1)
    distance = PoincareDistance(c=1.0, clip_radius=None)
    tree = hyphc_tree(points, distance)
    members = [set(below.tolist()) for below in tree.members()[4:]]
    assert members == [{0, 1}, {2, 3}, {0, 1, 2, 3}]
    assert dendrogram_purity(tree, np.array([0, 0, 1, 1])) == 1


@given(st.integers(0, 10**6), st.integers(2, 12))
def test_hyphc_decoding_against_union_find(seed, leaves):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(leaves, 3, generator=generator, dtype=torch.float64)
    distance = PoincareDistance(c=0.5, clip_radius=2.0)
    ball = distance.to_ball(points)
    depths = {
        (i, j): float(lca_depth(ball[i], ball[j], c=0.5))
        for i, j in itertools.combinations(range(leaves), 2)
    }
    clusters, merges = [{leaf} for leaf in range(leaves)], []
    for i, j in sorted(depths, key=depths.get, reverse=True):
        left, right = (next(c for c in clusters if leaf in c) for leaf in (i, j))
        if left is not right:
            clusters = [c for c in clusters if c not in (left, right)] + [left | right]
            merges.append((left | right, max(depths.values()) - depths[i, j]))
    tree = hyphc_tree(points, distance)
    for node, (_, height) in enumerate(merges, leaves):
        assert tree.heights[node] == pytest.approx(height, abs=1e-9)
    found = {frozenset(below.tolist()) for below in tree.members()[leaves:]}
    assert frozenset(range(leaves)) in found
    # Ties (several points behind the origin have depth 0) may merge in another order.
    positive = {frozenset(m) for m, height in merges if height < max(depths.values()) - 1e-9}
    assert positive <= found


def test_agglomerative_clustering_finds_a_known_ultrametric():
    levels = np.array([[0, 0], [0, 0], [1, 0], [2, 1], [2, 1]])
    truth = level_tree(levels).cophenetic_distances()
    assert agglomerative_tree(truth).cophenetic_distances().tolist() == truth.tolist()


@given(st.integers(0, 10**6), st.integers(2, 8))
def test_agglomerative_clustering_against_average_linkage_over_sets(seed, leaves):
    points = np.random.default_rng(seed).random((leaves, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    clusters, heights = [[leaf] for leaf in range(leaves)], []
    while len(clusters) > 1:
        a, b = min(
            itertools.combinations(range(len(clusters)), 2),
            key=lambda ab: distances[np.ix_(clusters[ab[0]], clusters[ab[1]])].mean(),
        )
        heights.append(distances[np.ix_(clusters[a], clusters[b])].mean())
        merged = clusters[a] + clusters[b]
        clusters = [c for n, c in enumerate(clusters) if n not in (a, b)] + [merged]
    np.testing.assert_allclose(agglomerative_tree(distances).heights[leaves:], heights)


def test_the_true_tree_of_levels_has_a_node_for_every_superclass():
    tree = level_tree(np.array([[3, 1], [3, 1], [5, 1], [7, 4]]))
    assert tree.num_leaves == 4
    assert tree.heights.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 3]
    assert tree.parents.tolist() == [4, 4, 5, 6, 7, 7, 8, 9, 9, -1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ancestor_tree(np.ones((1, 3))), "L >= 2"),
        (lambda: ancestor_tree(np.full((3, 2), np.nan)), "finite"),
        (lambda: agglomerative_tree(np.ones((3, 2))), "square"),
        (lambda: agglomerative_tree(np.arange(9).reshape(3, 3)), "symmetric"),
        (lambda: agglomerative_tree(np.zeros((1, 1))), "at least two leaves"),
        (lambda: hyphc_tree(np.ones((1, 2)), PoincareDistance()), "at least two leaves"),
        (lambda: level_tree(np.array([[0, 0], [0, 1]])), "superclass 0 lies in two"),
        (lambda: level_tree(np.array([0.5, 1])), "must be integers"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
