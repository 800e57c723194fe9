"""Trees from distances, from HIER's learned ancestors, from HypHC's points and from labels."""

import numpy as np
import torch
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from ..distances import PoincareDistance
from ..errors import InputError
from ..functional import lca_depth
from .geometry import mapped_points
from .tree import Tree

_PAIR_BLOCK = 4096  # pairs whose ancestors are looked for at a time


def pair_ancestors(distances: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """HIER's lowest common ancestor of each pair: ``argmin_p max(D_ip, D_jp)``.

    Args:
        distances: (N, P), of the points to the P proxies.
        pairs: (T, 2) indices of points.

    Returns:
        (T,) indices of proxies; the first of equally good ones.

    Source: Kim, Jeong, Kwak, CVPR 2023, arXiv 2212.14258 (there sampled around this optimum).
    """
    distances, pairs = np.asarray(distances), np.asarray(pairs).reshape(-1, 2)
    found = [
        np.maximum(distances[block[:, 0]], distances[block[:, 1]]).argmin(1)
        for block in np.array_split(pairs, max(1, -(-len(pairs) // _PAIR_BLOCK)))
    ]
    return np.concatenate(found)


def ancestor_tree(distances: np.ndarray) -> Tree:
    """The tree that HIER's hierarchical proxies span over points (classes, usually).

    HIER takes as ancestor of two or three points the proxy whose farthest one is nearest. The same
    rule for any set S of points, ``min_p max_{i in S} D_ip``, is the cost at which two clusters
    merge here, cheapest first; the proxy that attains it stands at the new node. This is minimax
    linkage with learned prototypes. Its heights never fall toward the root.

    Args:
        distances: (L, P), of the L >= 2 points to the P proxies.

    Returns:
        A binary tree with ``ancestors``. Its heights are the merging costs.

    Raises:
        InputError: fewer than two points, no proxies, or distances that are not finite.

    Source: the ancestors of Kim, Jeong, Kwak, CVPR 2023; minimax linkage of Bien and Tibshirani
    2011. Their combination is our choice: the paper draws ancestors of pairs, not a tree.
    """
    reach = np.asarray(distances, float).copy()
    if reach.ndim != 2 or len(reach) < 2 or reach.shape[1] < 1 or not np.isfinite(reach).all():
        raise InputError(
            f"a tree of ancestors needs finite distances (L >= 2, P >= 1), got shape {reach.shape}"
        )
    leaves = len(reach)
    cost = np.full((leaves, leaves), np.inf)
    for row in range(leaves - 1):
        cost[row, row + 1 :] = np.maximum(reach[row], reach[row + 1 :]).min(1)
    node_of = np.arange(leaves)
    parents = np.full(2 * leaves - 1, -1)
    heights = np.zeros(2 * leaves - 1)
    ancestors = np.full(2 * leaves - 1, -1)
    active = np.ones(leaves, bool)
    for node in range(leaves, 2 * leaves - 1):
        kept, gone = divmod(int(cost.argmin()), leaves)
        parents[[node_of[kept], node_of[gone]]] = node
        reach[kept] = np.maximum(reach[kept], reach[gone])
        heights[node], ancestors[node] = reach[kept].min(), reach[kept].argmin()
        active[gone], node_of[kept] = False, node
        cost[gone], cost[:, gone] = np.inf, np.inf
        others = active & (np.arange(leaves) != kept)
        merged = np.maximum(reach[kept], reach[others]).min(1)
        rows = np.flatnonzero(others)
        cost[np.minimum(rows, kept), np.maximum(rows, kept)] = merged
    return Tree(parents, heights, ancestors)


def hyphc_tree(
    points: np.ndarray | torch.Tensor, distance: PoincareDistance, *, name: str = "proxies"
) -> Tree:
    """The tree that points on the ball encode, decoded as HypHC does.

    Pairs are taken by the depth of their lowest common ancestor, deepest first, and a pair in two
    different clusters merges them: single linkage on ``-lca_depth``. Heights are the largest depth
    of all less the depth at which two clusters merge, so that they grow toward the root.

    Args:
        points: (L, D) raw vectors, as ``distance`` takes them, L >= 2 (CHEST's hyperbolic proxies,
            for example).
        distance: the geometry.
        name: what the points are, for messages.

    Raises:
        InputError: fewer than two points, or as :func:`~.geometry.mapped_points`.

    Source: Chami et al., NeurIPS 2020, arXiv 2010.00402, section 4 (there on normalised leaves).
    """
    ball = mapped_points(points, distance, name=name)
    _check_count(len(ball))
    depths = torch.stack([lca_depth(point, ball, c=distance.c) for point in ball]).numpy()
    depths = np.maximum(depths, depths.T)  # the two orders of a pair differ by rounding only
    upper = depths[np.triu_indices(len(depths), 1)]
    return linkage_tree(linkage(upper.max() - upper, "single"))


def agglomerative_tree(distances: np.ndarray) -> Tree:
    """Average-linkage clustering (UPGMA) of points with these distances.

    Args:
        distances: (L, L), symmetric with a zero diagonal, L >= 2: of class means in their own
            geometry, for example (:func:`~.geometry.class_distances`).

    Raises:
        InputError: not such a matrix.
    """
    distances = np.asarray(distances, float)
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1]:
        raise InputError(f"distances must be square (L, L), got shape {distances.shape}")
    _check_count(len(distances))
    if not np.isfinite(distances).all() or not np.allclose(distances, distances.T):
        raise InputError("distances must be finite and symmetric")
    return linkage_tree(linkage(squareform(distances, checks=False), "average"))


def linkage_tree(merges: np.ndarray) -> Tree:
    """A Tree from scipy's linkage matrix (L-1, 4)."""
    leaves = len(merges) + 1
    parents = np.full(2 * leaves - 1, -1)
    heights = np.zeros(2 * leaves - 1)
    for row, (left, right, height, _) in enumerate(merges):
        parents[[int(left), int(right)]] = leaves + row
        # Rounding may put an average a last bit below that of a merge before it.
        heights[leaves + row] = max(height, heights[int(left)], heights[int(right)])
    return Tree(parents, heights)


def level_tree(levels: np.ndarray) -> Tree:
    """The true tree of classes with known superclasses.

    Args:
        levels: (L, H) integers, one row a class: its superclass at each level, finest first.

    Returns:
        A tree with a node for every superclass and a root, at heights 1 .. H+1. Leaves are the
        classes; nodes may have any number of children.

    Raises:
        InputError: the levels are not nested.
    """
    levels = checked_levels(levels)
    nodes = len(levels)
    current = np.arange(nodes)  # node of each class at the level below
    parents: list[int] = []
    heights = [0.0] * nodes
    for height, groups in enumerate([*levels.T, np.zeros(nodes, int)], 1):
        _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
        parent_of = dict(zip(current, len(heights) + inverse, strict=True))
        parents += [int(parent_of[node]) for node in range(len(parents), len(heights))]
        current = len(heights) + inverse
        heights += [float(height)] * len(first)
    return Tree(np.array([*parents, -1]), np.array(heights))


def checked_levels(levels: np.ndarray) -> np.ndarray:
    """Superclasses of classes as integers (C, H), checked to be nested.

    Raises:
        InputError: a wrong shape or type, or one superclass lies in two coarser ones.
    """
    levels = np.asarray(levels)
    levels = levels[:, None] if levels.ndim == 1 else levels
    if levels.ndim != 2 or 0 in levels.shape or levels.dtype.kind not in "iu":
        raise InputError(
            f"levels must be integers (C, H) or (C,), got {levels.dtype} of shape {levels.shape}"
        )
    for finer, coarser in zip(levels.T[:-1], levels.T[1:], strict=True):
        pairs = np.unique(np.stack([finer, coarser]), axis=1)
        split = pairs[0, 1:][pairs[0, 1:] == pairs[0, :-1]]
        if len(split):
            raise InputError(
                f"superclass {split[0]} lies in two coarser superclasses: levels must be nested, "
                f"finest first"
            )
    return levels.astype(np.int64)


def _check_count(count):
    if count < 2:
        raise InputError(f"a tree needs at least two leaves, got {count}")
