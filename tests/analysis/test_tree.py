"""Trees: what is a tree, and the distances of its leaves."""

import numpy as np
import pytest

from pml_hyperbolic.analysis.tree import Tree

#       6
#      / \
#     5   4
#    /|\  |
#   0 1 3 2       (4 has one child)
FOREST = Tree(np.array([5, 5, 4, 5, 6, 6, -1]), np.array([0, 0, 0, 0, 1.0, 2.0, 3.0]))


def test_leaves_members_and_order():
    assert FOREST.num_leaves == 4
    members = [sorted(below.tolist()) for below in FOREST.members()]
    assert members == [[0], [1], [2], [3], [2], [0, 1, 3], [0, 1, 2, 3]]
    assert FOREST.leaf_order().tolist() == [2, 0, 1, 3]
    assert FOREST.children()[5] == [0, 1, 3]


def test_cophenetic_distances_are_heights_of_lowest_common_ancestors():
    expected = [[0, 2, 3, 2], [2, 0, 3, 2], [3, 3, 0, 3], [2, 2, 3, 0]]
    assert FOREST.cophenetic_distances().tolist() == expected


def test_a_single_leaf_is_a_tree():
    tree = Tree(np.array([-1]), np.zeros(1))
    assert tree.num_leaves == 1
    assert tree.cophenetic_distances().tolist() == [[0]]


@pytest.mark.parametrize(
    ("parents", "heights", "message"),
    [
        ([2, 2, 2], [0, 0, 1], "-1 for the last"),
        ([1, 2, -1], [0, 1, 1, 2], "3 finite"),
        ([0, 2, -1], [0, 0, 1], "larger than their children"),
        ([4, 3, 3, 4, -1], [0, 0, 0, 2, 1], "must not fall"),
        ([3, 3, 4, 4, -1], [1, 0, 0, 1, 2], "0 at the leaves"),
        ([2, 4, 4, 4, -1], [0, 0, 0, 0, 1], "must be the first nodes"),
        ([], [], "must be larger"),
    ],
)
def test_other_arrays_are_refused(parents, heights, message):
    with pytest.raises(ValueError, match=message):
        Tree(np.array(parents, int), np.array(heights, float))
