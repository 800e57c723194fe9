"""Whether an embedding, or the proxies of a loss, found the hierarchy of the classes."""

import math
from collections.abc import Mapping

import numpy as np
import torch

from ...analysis import (
    Measured,
    Tree,
    agglomerative_tree,
    ancestor_tree,
    class_distances,
    class_means,
    hyphc_tree,
    measure_neighbors,
    measure_tree,
)
from ...analysis.geometry import mapped_points, point_distances
from ...distances import PoincareDistance
from ...errors import InputError
from ...losses import CHESTLoss
from ...regularizers.hierarchical_proxies_mixin import HierarchicalProxiesMixin
from ..results.run_measures import ONE_LEVEL, HierarchyMeasure
from .run_contents import neighbors
from .run_scores import EmbeddedTestSet

NEIGHBORS = 10
# Random trees to compare with: their mean is stable with 100, and a run should not wait for more.
_DRAWS = 100
_FEWEST_CLASSES = 3

Levels = Mapping[str, np.ndarray]


def class_mean_tree(tests: EmbeddedTestSet, distance: PoincareDistance | None) -> Tree:
    """Return the dendrogram of the test classes' means, by average linkage in their geometry.

    Args:
        tests: embeddings of one space.
        distance: that ranks the space; None for cosine.

    Raises:
        InputError: fewer than two classes.
    """
    return agglomerative_tree(class_distances(tests.embeddings, _classes(tests), distance)[1])


def learned_ancestor_tree(
    tests: EmbeddedTestSet, distance: PoincareDistance | None, loss: torch.nn.Module
) -> Tree | None:
    """Return the tree that HIER's hierarchical proxies span over the test classes' means.

    Args:
        tests: embeddings of one space.
        distance: that ranks the space; None for cosine.
        loss: of the run.

    Returns:
        The tree, or None if the loss has no hierarchical proxies.

    Raises:
        InputError: fewer than two classes, or proxies that are not finite.
    """
    found = [part for part in loss.modules() if isinstance(part, HierarchicalProxiesMixin)]
    if not found:
        return None
    means = class_means(tests.embeddings, _classes(tests), distance)[1]
    proxies = mapped_points(found[0].proxies.detach(), distance, name="hierarchical proxies")
    return ancestor_tree(point_distances(means, proxies, distance).numpy())


def decoded_proxy_tree(loss: torch.nn.Module) -> Tree | None:
    """Return the tree over the training classes that CHEST's hyperbolic proxies encode.

    The proxies of a class are represented by their mean, so that every class is one leaf, and the
    tree is decoded as HypHC does.

    Args:
        loss: of the run.

    Returns:
        The tree, or None if the loss is not CHESTLoss.

    Raises:
        InputError: fewer than two classes, or proxies that are not finite.
    """
    if not isinstance(loss, CHESTLoss):
        return None
    proxies = loss.hyperbolic.fc.detach().t()
    of_class = np.arange(len(proxies)) // loss.centers_per_class
    means = class_means(proxies, of_class, loss.distance)[1]
    # The means are points on the ball, which need no clipping.
    return hyphc_tree(means, PoincareDistance(c=loss.distance.c, inputs="ball"))


def tree_measures(tree: Tree, levels: Levels) -> dict[str, HierarchyMeasure]:
    """Return the agreement of a tree with the true superclasses, beside random trees.

    Args:
        tree: with C leaves.
        levels: name of each coarser level -> (C,) superclasses of the leaves, finest level first.

    Raises:
        InputError: the levels do not fit the tree, or are not nested.
    """
    return _records(measure_tree(tree, levels, draws=_DRAWS))


def neighbor_measures(
    tests: EmbeddedTestSet, distance: PoincareDistance | None, levels: Levels
) -> dict[str, HierarchyMeasure]:
    """Return how far the nearest neighbors of each query lie in the true tree.

    Args:
        tests: embeddings of one space; each query is searched in the gallery or, where there is
            none, among all others.
        distance: that ranks the space; None for cosine.
        levels: as :func:`test_levels` returns them.

    Raises:
        InputError: the levels are not nested.
    """
    found = neighbors(tests, distance, NEIGHBORS)
    return _records(
        measure_neighbors(found, _classes(tests), levels, queries=tests.query, draws=_DRAWS)
    )


def test_levels(tests: EmbeddedTestSet, level_names: list[str]) -> dict[str, np.ndarray]:
    """Return the superclasses of the test classes: name of a coarser level -> (C,).

    Args:
        tests: whose labels have a column for each level, the finest first.
        level_names: of the columns.

    Raises:
        InputError: there are no superclasses, or too few classes.
    """
    return levels_of_classes(tests.labels.cpu().numpy(), level_names, "test")


def levels_of_classes(
    labels: np.ndarray, level_names: list[str], split: str
) -> dict[str, np.ndarray]:
    """Return the superclasses of the classes that occur in (N, L) labels, in order.

    Args:
        labels: the finest level first.
        level_names: of the columns.
        split: what the classes are for, in the message.

    Raises:
        InputError: there are no superclasses, or too few classes.
    """
    classes, first = np.unique(labels[:, 0], return_index=True)
    if labels.shape[1] < 2 or len(level_names) < 2:
        raise InputError(ONE_LEVEL)
    if len(classes) < _FEWEST_CLASSES:
        raise InputError(
            f"a hierarchy needs at least {_FEWEST_CLASSES} {split} classes, got {len(classes)}"
        )
    return {name: labels[first, 1 + i] for i, name in enumerate(level_names[1:])}


def _classes(tests):
    """The class of each embedding, numbered from 0."""
    return np.unique(tests.labels[:, 0].cpu().numpy(), return_inverse=True)[1]


def _records(measured: Mapping[str, Measured]) -> dict[str, HierarchyMeasure]:
    """Plain records, without measures that these classes leave undefined."""
    return {
        name: HierarchyMeasure(**vars(result))
        for name, result in measured.items()
        if all(math.isfinite(value) for value in vars(result).values())
    }
