"""Tree: a rooted tree over classes, with a height for every node."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tree:
    """A rooted tree whose leaves are the nodes 0 .. L-1 and whose root is the last node.

    Args:
        parents: (V,) parent of each node, larger than the node itself; -1 for the root.
        heights: (V,) heights, 0 at the leaves, nowhere lower than at a child. The distance of two
            leaves is the height of their lowest common ancestor.
        ancestors: (V,) for a tree of learned proxies, the proxy that stands at each inner node;
            -1 at the leaves. None for other trees.

    Raises:
        ValueError: the arrays do not describe such a tree.
    """

    parents: np.ndarray
    heights: np.ndarray
    ancestors: np.ndarray | None = None

    def __post_init__(self):
        nodes = np.arange(len(self.parents))
        inner = self.parents[:-1]
        if not len(nodes) or self.parents[-1] != -1 or (inner <= nodes[:-1]).any():
            raise ValueError(
                "parents must be larger than their children, and -1 for the last node, the root"
            )
        leaves = len(nodes) - len(np.unique(inner)) if len(nodes) > 1 else 1
        if len(inner) and inner.min() < leaves:
            raise ValueError(f"the {leaves} leaves must be the first nodes")
        if self.heights.shape != self.parents.shape or not np.isfinite(self.heights).all():
            raise ValueError(
                f"heights must be {len(nodes)} finite numbers, got shape {self.heights.shape}"
            )
        if (self.heights[:leaves] != 0).any() or (self.heights[inner] < self.heights[:-1]).any():
            raise ValueError("heights must be 0 at the leaves and must not fall toward the root")

    @property
    def num_leaves(self) -> int:
        """The number of leaves."""
        return len(self.parents) - len(np.unique(self.parents[:-1])) if len(self.parents) > 1 else 1

    def children(self) -> list[list[int]]:
        """The children of every node, ascending; no children for a leaf."""
        children: list[list[int]] = [[] for _ in self.parents]
        for node, parent in enumerate(self.parents[:-1]):
            children[parent].append(node)
        return children

    def members(self) -> list[np.ndarray]:
        """The leaves below every node, in drawing order (a leaf is below itself)."""
        leaves = self.num_leaves
        members = [np.array([node]) for node in range(leaves)]
        for below in self.children()[leaves:]:
            members.append(np.concatenate([members[child] for child in below]))
        return members

    def leaf_order(self) -> np.ndarray:
        """(L,) leaves in an order in which no branches of a drawing cross."""
        return self.members()[-1]

    def cophenetic_distances(self) -> np.ndarray:
        """(L, L) heights of the leaves' lowest common ancestors."""
        leaves, members = self.num_leaves, self.members()
        distances = np.zeros((leaves, leaves))
        for node, below in enumerate(self.children()):
            # An inner node separates the members of different children: later, higher nodes do
            # not touch pairs that have been separated before.
            seen = np.array([], dtype=int)
            for child in below:
                distances[np.ix_(seen, members[child])] = self.heights[node]
                distances[np.ix_(members[child], seen)] = self.heights[node]
                seen = np.concatenate([seen, members[child]])
        return distances
