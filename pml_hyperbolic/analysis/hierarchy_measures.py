"""How well a tree, or the neighbours in an embedding, agree with known superclasses.

Every measure stands beside the same measure for random trees: the leaves (or the superclasses of
the classes) are permuted, so that the random tree has the same shape and group sizes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from ..errors import InputError
from .geometry import checked_labels
from .tree import Tree
from .tree_building import checked_levels


@dataclass(frozen=True)
class Measured:
    """A value beside what random trees of the same shape reach.

    Args:
        value: the measure.
        random_mean: mean over random trees.
        random_low, random_high: the interval that holds 95% of them.
    """

    value: float
    random_mean: float
    random_low: float
    random_high: float


def dendrogram_purity(tree: Tree, groups: np.ndarray) -> float:
    """Dendrogram purity: how pure the smallest subtree is that holds two leaves of a group.

    The mean, over all pairs of leaves of the same group, of the share of that group among the
    leaves below the pair's lowest common ancestor. Exact over all pairs. 1 if every group is a
    subtree of its own.

    Args:
        tree: with L leaves.
        groups: (L,) integers, the true superclass of each leaf.

    Raises:
        InputError: no group has two leaves, or the shape is wrong.

    Source: Heller and Ghahramani, "Bayesian hierarchical clustering", ICML 2005.
    """
    groups = checked_labels("groups", groups, tree.num_leaves)
    return _purity(tree, np.unique(groups, return_inverse=True)[1])


def level_distances(levels: np.ndarray) -> np.ndarray:
    """(C, C) true tree distances of classes: the height of their lowest common superclass.

    0 for a class and itself, 1 within the finest superclass, and so on; H + 1 for classes that
    share none of the H levels.

    Args:
        levels: (C, H) integers, the superclass of each class at each level, finest first.

    Raises:
        InputError: the levels are not nested.
    """
    levels = checked_levels(levels)
    distances = 1 + (levels[:, None] != levels[None]).sum(2)
    np.fill_diagonal(distances, 0)
    return distances


def tree_correlation(tree: Tree, levels: np.ndarray) -> float:
    """Rank correlation of a tree's cophenetic distances with the true distances of classes.

    Spearman's, over all pairs of leaves, with ties at their mean rank: it depends on the order
    of the tree's heights only, so trees of different geometries can be compared. The true tree
    has 1; NaN where all distances are equal.

    Args:
        tree: with L leaves.
        levels: (L, H) or (L,) integers, as :func:`level_distances`.

    Raises:
        InputError: as level_distances.
    """
    truth = _checked_leaf_levels(tree, levels)
    return _correlation(_ranks(tree.cophenetic_distances()), _ranks(level_distances(truth)))


def superclass_share(
    neighbors: np.ndarray,
    labels: np.ndarray,
    superclasses: np.ndarray,
    *,
    other_classes_only: bool = False,
) -> float:
    """The share of the neighbours that belong to the query's superclass.

    Args:
        neighbors: (N, k) indices of each sample's neighbours.
        labels: (N,) classes of the samples, 0 .. C-1.
        superclasses: (C,) integers.
        other_classes_only: leave out neighbours of the query's own class, whose superclass says
            nothing about the hierarchy. Default False.

    Returns:
        A share in [0, 1]; NaN where no neighbour is left.

    Raises:
        InputError: shapes or indices do not fit.
    """
    superclasses = checked_levels(superclasses)[:, 0]
    counts = _neighbor_classes(neighbors, labels, len(superclasses))
    return _share(counts, superclasses, other_classes_only)


def neighbor_tree_distance(neighbors: np.ndarray, labels: np.ndarray, levels: np.ndarray) -> float:
    """The mean true tree distance between a sample's class and those of its neighbours.

    Args:
        neighbors: (N, k) indices of each sample's neighbours.
        labels: (N,) classes of the samples, 0 .. C-1.
        levels: (C, H) or (C,) integers, as :func:`level_distances`.

    Returns:
        0 if every neighbour has the query's class, up to H + 1.

    Raises:
        InputError: shapes or indices do not fit.

    Source: the hierarchical distance of the top k of Bertinetto et al., CVPR 2020.
    """
    distances = level_distances(levels)
    counts = _neighbor_classes(neighbors, labels, len(distances))
    return float((counts * distances).sum() / counts.sum())


def measure_tree(
    tree: Tree, levels: Mapping[str, np.ndarray], *, draws: int = 200, seed: int = 0
) -> dict[str, Measured]:
    """A tree's purity at each level and its correlation with the truth, beside random trees.

    Args:
        tree: with L leaves.
        levels: name of each level to the (L,) superclasses of the leaves, finest level first.
        draws: number of random permutations of the leaves, >= 1. Default 200 (our choice).
        seed: of these permutations.

    Returns:
        "dendrogram_purity/LEVEL" for each level in which some superclass has two leaves, and
        "tree_correlation".

    Raises:
        InputError: as the measures.
    """
    table = _checked_leaf_levels(tree, _level_table(levels))
    tree_ranks = _ranks(tree.cophenetic_distances())
    true_distances = level_distances(table)
    true_ranks = np.zeros(true_distances.shape)
    upper = np.triu_indices(len(table), 1)
    true_ranks[upper] = _ranks(true_distances)
    true_ranks += true_ranks.T

    def correlation(order):
        return _correlation(tree_ranks, true_ranks[np.ix_(order, order)][upper])

    measures = {"tree_correlation": correlation}
    for name, groups in zip(levels, table.T, strict=True):
        groups = np.unique(groups, return_inverse=True)[1]
        if np.bincount(groups).max() > 1:
            measures[f"dendrogram_purity/{name}"] = _purity_measure(tree, groups)
    return _beside_random(measures, tree.num_leaves, draws, seed)


def measure_neighbors(
    neighbors: np.ndarray,
    labels: np.ndarray,
    levels: Mapping[str, np.ndarray],
    *,
    queries: np.ndarray | None = None,
    draws: int = 200,
    seed: int = 0,
) -> dict[str, Measured]:
    """Superclass shares and tree distance of neighbours, beside random trees of the classes.

    Args:
        neighbors: (Q, k) indices of each query's neighbours among the samples.
        labels: (N,) classes of the samples, 0 .. C-1.
        levels: name of each level to the (C,) superclasses, finest level first.
        queries: (Q,) indices of the samples whose neighbours these are. Default all, Q = N.
        draws: number of random permutations of the classes, >= 1. Default 200 (our choice).
        seed: of these permutations.

    Returns:
        "superclass_share/LEVEL" and "superclass_share_of_other_classes/LEVEL" for each level, and
        "neighbor_tree_distance".

    Raises:
        InputError: as the measures.
    """
    table = checked_levels(_level_table(levels))
    distances = level_distances(table)
    counts = _neighbor_classes(neighbors, labels, len(table), queries)
    total = counts.sum()
    measures = {
        "neighbor_tree_distance": lambda order: float(
            (counts * distances[np.ix_(order, order)]).sum() / total
        )
    }
    for name, groups in zip(levels, table.T, strict=True):
        measures[f"superclass_share/{name}"] = _share_measure(counts, groups, False)
        measures[f"superclass_share_of_other_classes/{name}"] = _share_measure(counts, groups, True)
    return _beside_random(measures, len(table), draws, seed)


def _purity_measure(tree, groups):
    return lambda order: _purity(tree, groups[order])


def _share_measure(counts, groups, other_classes_only):
    return lambda order: _share(counts, groups[order], other_classes_only)


def _beside_random(measures, count, draws, seed):
    """Each measure at the given order and over random ones."""
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(count) for _ in range(draws)]
    measured = {}
    for name, measure in measures.items():
        random = np.array([measure(order) for order in orders])
        low, high = np.quantile(random, [0.025, 0.975])
        value = measure(np.arange(count))
        measured[name] = Measured(value, float(random.mean()), float(low), float(high))
    return measured


def _purity(tree, groups):
    """dendrogram_purity of groups numbered from 0."""
    leaves = tree.num_leaves
    counts = np.zeros((len(tree.parents), groups.max() + 1))
    counts[np.arange(leaves), groups] = 1
    pairs_below = np.zeros_like(counts)
    for node, parent in enumerate(tree.parents[:-1]):  # children come before their parents
        counts[parent] += counts[node]
        pairs_below[parent] += counts[node] * (counts[node] - 1) / 2
    pairs = counts * (counts - 1) / 2 - pairs_below  # pairs whose lowest ancestor is this node
    total = pairs.sum()
    if not total:
        raise InputError(
            "dendrogram purity needs a superclass with at least two leaves: every leaf has one of "
            "its own, give coarser superclasses"
        )
    return float((pairs * counts / counts.sum(1, keepdims=True)).sum() / total)


def _level_table(levels):
    """The levels of a mapping side by side."""
    columns = [np.asarray(column) for column in levels.values()]
    if not columns or any(c.ndim != 1 or c.shape != columns[0].shape for c in columns):
        raise InputError(
            f"levels must map names to arrays of one shape (C,), finest first, "
            f"got { ({name: np.shape(c) for name, c in levels.items()}) }"
        )
    return np.stack(columns, axis=1)


def _checked_leaf_levels(tree, levels):
    levels = checked_levels(levels)
    if len(levels) != tree.num_leaves:
        raise InputError(
            f"levels must have a row for each of the tree's {tree.num_leaves} leaves, "
            f"got {len(levels)}"
        )
    return levels


def _ranks(distances):
    return rankdata(distances[np.triu_indices(len(distances), 1)])


def _correlation(x, y):
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")


def _neighbor_classes(neighbors, labels, classes, queries=None):
    """(C, C) number of neighbours of class b that queries of class a have."""
    labels = checked_labels("labels", labels, len(labels))
    neighbors = np.asarray(neighbors)
    what = "labels" if queries is None else "queries"
    queries = np.arange(len(labels)) if queries is None else np.asarray(queries)
    if neighbors.ndim != 2 or len(neighbors) != len(queries) or not neighbors.size:
        raise InputError(
            f"neighbors must be (N, k) with N = {len(queries)} as the {what}, got {neighbors.shape}"
        )
    for name, values, bound in (
        ("labels", labels, classes),
        ("neighbors", neighbors, len(labels)),
        ("queries", queries, len(labels)),
    ):
        if values.min() < 0 or values.max() >= bound:
            raise InputError(
                f"{name} must lie between 0 and {bound - 1}, got {values.min()} to {values.max()}"
            )
    pairs = labels[queries][:, None] * classes + labels[neighbors]
    return np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)


def _share(counts, superclasses, other_classes_only):
    if other_classes_only:
        counts = counts - np.diag(np.diag(counts))
    same = superclasses[:, None] == superclasses[None]
    total = counts.sum()
    return float(counts[same].sum() / total) if total else float("nan")
