"""RandomTree: points around the leaves of a random tree, whose hierarchy is known."""

from collections.abc import Sequence

import numpy as np

from ...functional.validation import check_choice, check_counts, check_not_negative
from .feature_data import FeatureData

# Directions of strong noise that all points share: a loss has to find and suppress them.
_NUISANCES = 8
# Features are multiples of this, so that rounding errors of a machine's sums and sines vanish.
_RESOLUTION = 2.0**-10


class RandomTree(FeatureData):
    """Points around the leaves of a random tree: leaves are classes, inner nodes their levels.

    Every node stands one Gaussian step from its parent, points scatter around their leaf, and a
    fixed random map mixes all coordinates::

        z_root = 0,   z_v = z_parent(v) + g_v              g_v ~ N(0, I_D)
        s = z_leaf + noise e + nuisance N u                e ~ N(0, I_D),  u ~ N(0, I_8)
        y = A s,   x = C (y + sin(B y))                    x: the features, N: D x 8 of N(0, 1),
                                                           A, B, C: D x D of N(0, 1 / D)

    g, e and u are drawn anew for each node or point; N, A, B and C are shared by all points.
    Hence ``E |z_u - z_v|^2 = D (number of edges between u and v)``: positions are a tree's up to
    chance. Neighbours of the features are mostly those of the nuisance (R@1 of the raw features is
    about 4 % by default, 91 % after training a linear head of 16 dimensions).

    Half of the leaves (rounded down) test: the later children of every lowest inner node
    (``unseen: leaves``), so that training and test classes share all inner nodes, or all leaves
    under the later children of the root (``unseen: branches``), so that they share the root alone.
    Classes are numbered by their child number under that node first. Contiguous blocks of them, as
    ``splits: {test: official, folds: F}`` validates on, are therefore unseen in the same way as the
    test classes where F divides the number of the children that do not test.

    All values are this project's choice. Nothing is read or downloaded; equal arguments give equal
    features on every machine.

    Args:
        branching: children of each inner node, level by level from the root, each >= 2. Its length
            is the depth of the tree, its product the number of classes. Default (4, 8, 8).
        ambient_dimension: D, >= 1. Default 64.
        noise: standard deviation of points around their leaf, >= 0. Default 0.5.
        nuisance: that of the 8 shared factors, >= 0. Default 2.
        points_per_leaf: samples of a class, >= 1. Default 16.
        unseen: "leaves" (default) or "branches", see above.
        seed: of all random numbers, >= 0. Default 0.

    Attributes:
        positions: (C, D) float64, the position z of each class's leaf.

    Raises:
        ValueError: an argument is out of range.
    """

    positions: np.ndarray

    def __init__(
        self,
        branching: Sequence[int] = (4, 8, 8),
        ambient_dimension: int = 64,
        noise: float = 0.5,
        nuisance: float = 2.0,
        points_per_leaf: int = 16,
        unseen: str = "leaves",
        seed: int = 0,
    ):
        _check_branching(branching)
        check_counts("tree", ambient_dimension=ambient_dimension, points_per_leaf=points_per_leaf)
        check_not_negative("tree", noise=noise, nuisance=nuisance)
        check_choice("tree", "unseen", unseen, ("leaves", "branches"))
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise ValueError(f"tree needs an integer seed >= 0 and below 2**32, got {seed!r}")
        # (C, depth): the child number of every node on the way from the root to a leaf.
        paths = np.indices(branching).reshape(len(branching), -1).T
        deciding = paths[:, -1 if unseen == "leaves" else 0]
        order = np.argsort(deciding, kind="stable")
        paths, deciding = paths[order], deciding[order]
        self.test_classes = np.flatnonzero(deciding >= (deciding.max() + 2) // 2)
        self._name_levels(paths, branching, points_per_leaf)
        # A RandomState's numbers are the same in every version of NumPy.
        random = np.random.RandomState(seed)
        positions = np.zeros((1, ambient_dimension))
        for children in branching:
            parents = np.repeat(positions, children, axis=0)
            positions = parents + random.standard_normal(parents.shape)
        self.positions = positions[order]
        self.features = _features(self.positions[self.labels[:, 0]], noise, nuisance, random)

    def _name_levels(self, paths, branching, points_per_leaf):
        """Set the labels: a class for each leaf, then its ancestors up to below the root."""
        depths = range(len(branching) - 1, 0, -1)
        nodes = [np.arange(len(paths))]
        names = [[_path_name(path) for path in paths]]
        for depth in depths:
            nodes.append(np.ravel_multi_index(paths[:, :depth].T, branching[:depth]))
            names.append([_path_name(path) for path in np.ndindex(*branching[:depth])])
        self.labels = np.repeat(np.stack(nodes, axis=1).astype(np.int64), points_per_leaf, axis=0)
        self.level_names = ("leaf", *(f"depth {depth}" for depth in depths))
        self.class_names, *coarser = names
        self.superclass_names = tuple(coarser)


def _features(centres, noise, nuisance, random):
    """The features x of points around these (N, D) leaf positions."""
    count, dimension = centres.shape
    points = centres + noise * random.standard_normal(centres.shape)
    factors = random.standard_normal((count, _NUISANCES))
    points += nuisance * factors @ random.standard_normal((_NUISANCES, dimension))
    first, bend, last = random.standard_normal((3, dimension, dimension)) / np.sqrt(dimension)
    mixed = points @ first
    features = (mixed + np.sin(mixed @ bend)) @ last
    return (np.rint(features / _RESOLUTION) * _RESOLUTION).astype(np.float32)


def _path_name(path):
    return ".".join(map(str, path))


def _check_branching(branching):
    is_list = isinstance(branching, Sequence) and not isinstance(branching, str)
    if not is_list or not branching or any(type(n) is not int or n < 2 for n in branching):
        raise ValueError(
            f"tree needs branching as a list of integers >= 2, the children of a node on each "
            f"level from the root, such as [4, 8, 8], got {branching!r}"
        )
