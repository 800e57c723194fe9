"""The dendrogram of learned proxies, or of class means where a method learns none."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ...analysis import (
    Tree,
    agglomerative_tree,
    ancestor_tree,
    class_distances,
    class_means,
    geometry_name,
    hyphc_tree,
)
from ...analysis.geometry import mapped_points, point_distances
from ...distances import PoincareDistance
from ...errors import InputError
from ...visualize.hierarchy import hierarchy
from .embedding_set import EmbeddingSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Images make a leaf readable; of more leaves they would make the figure too tall to be looked at.
_MOST_LEAVES = 60
_LONGEST_NAME = 25  # letters, so that the number of a proxy behind it is not cut off


def draw_hierarchy(
    one: EmbeddingSet, *, level: str | None = None, images: int = 3, title: str | None = None
) -> "Figure":
    """Draw the tree that an embedding learned, with example images at its leaves.

    The tree is that of the hyperbolic proxies of classes, decoded as HypHC does; else that of
    the class means under HIER's hierarchical proxies; else the average linkage of the proxies of
    classes, or of the class means.

    Args:
        one: embeddings with labels. Its proxies should be of the same split as its labels.
        level: of the superclasses that colour the tree. Default: the one above the classes, none
            where there is none.
        images: at each leaf, where images can be shown and there are at most 60 leaves. Default 3.
        title: of the figure. Default: what the tree is of.

    Raises:
        InputError: there are no labels, or fewer than two classes.
    """
    one.level(None, 0)
    coarse = one.level(level, 1) if level is not None or len(one.levels) > 1 else None
    labels = one.labels[:, 0]
    classes, first = np.unique(labels, return_index=True)
    if len(classes) < 2:
        raise InputError(f"{one.title} has one class only: a tree needs at least two leaves")
    leaves = _leaves(one, labels)
    leaf_class = leaves.classes
    names = [one.name(0, label) for label in leaf_class]
    counts = {label: int((leaf_class == label).sum()) for label in classes}
    if max(counts.values()) > 1:
        seen: dict[int, int] = {}
        for leaf, label in enumerate(leaf_class.tolist()):
            seen[label] = seen.get(label, 0) + 1
            name = names[leaf]
            name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
            names[leaf] = f"{name} ({seen[label]})"
    superclasses = superclass_names = None
    if coarse is not None:
        own = one.labels[first, coarse][np.searchsorted(classes, leaf_class)]
        present, superclasses = np.unique(own, return_inverse=True)
        superclass_names = [one.name(coarse, value) for value in present]
    examples = None
    if one.image is not None and images > 0 and leaves.tree.num_leaves <= _MOST_LEAVES:
        examples = _examples(one, labels, leaves, images)
    return hierarchy(
        leaves.tree,
        names=names,
        superclasses=superclasses,
        superclass_names=superclass_names,
        examples=examples,
        image=one.image if examples is not None else None,
        height_name=leaves.height_name,
        title=f"{one.title}: {leaves.text}" if title is None else title,
    )


class _Leaves(NamedTuple):
    """A tree, what it is of, and the class and the point (mapped) of each of its leaves."""

    tree: Tree
    text: str
    height_name: str
    classes: np.ndarray
    points: torch.Tensor
    distance: PoincareDistance | None


def _leaves(one: EmbeddingSet, labels: np.ndarray) -> _Leaves:
    name = one.of_classes
    if name is not None:
        own = np.asarray(one.proxy_labels[name])
        rows = np.flatnonzero(np.isin(own, labels))
        proxies, distance = one.proxies[name][torch.from_numpy(rows)], one.proxy_distances[name]
        own = own[rows]
        if distance is not None and len(rows) > 1:
            return _Leaves(
                hyphc_tree(proxies, distance),
                "proxies, decoded as HypHC does",
                "depth below the deepest ancestor",
                own,
                mapped_points(proxies, distance, name="proxies"),
                distance,
            )
    classes, means = class_means(one.embeddings, labels, one.distance)
    if one.hierarchical is not None:
        ancestors = mapped_points(one.proxies[one.hierarchical], one.distance, name="proxies")
        return _Leaves(
            ancestor_tree(point_distances(means, ancestors, one.distance).numpy()),
            "class means under their hierarchical proxies",
            "distance to the shared ancestor",
            classes,
            means,
            one.distance,
        )
    if name is not None and len(rows) > 1:
        return _Leaves(
            agglomerative_tree(class_distances(proxies, np.arange(len(rows)), None)[1]),
            "proxies, average linkage",
            "1 - cosine",
            own,
            mapped_points(proxies, None, name="proxies"),
            None,
        )
    return _Leaves(
        agglomerative_tree(class_distances(one.embeddings, labels, one.distance)[1]),
        "class means, average linkage",
        "1 - cosine" if one.distance is None else geometry_name(one.distance),
        classes,
        means,
        one.distance,
    )


def _examples(one, labels, leaves, count):
    """Return (leaves, count) rows: the images of each leaf's class that are nearest to it."""
    count = min(count, *(int((labels == label).sum()) for label in leaves.classes))
    points = mapped_points(one.embeddings, leaves.distance)
    found = []
    for label, point in zip(leaves.classes, leaves.points, strict=True):
        rows = np.flatnonzero(labels == label)
        near = point_distances(point[None], points[torch.from_numpy(rows)], leaves.distance)[0]
        found.append(rows[np.argsort(near.numpy(), kind="stable")[:count]])
    return np.stack(found)
