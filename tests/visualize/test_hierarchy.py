"""The dendrogram: its brackets, its colours, its leaves."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from pml_hyperbolic.analysis import Tree, agglomerative_tree
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.visualize.hierarchy import hierarchy
from pml_hyperbolic.visualize.style import FAINT, color
from tests.visualize.rendering import assert_legible, words_of

# Merges 0 with 2, 1 with 3, then both.
TREE = Tree(np.array([4, 5, 4, 5, 6, 6, -1]), np.array([0, 0, 0, 0, 1.0, 2.0, 3.0]))


def branches(figure):
    return next(c for c in figure.axes[0].collections if isinstance(c, LineCollection))


def test_brackets_stand_at_the_heights_of_the_merges():
    segments = branches(hierarchy(TREE)).get_segments()
    # Leaves in drawing order: 0, 2, 1, 3. A bracket and two branches a merge.
    expected = [
        [(1, 0), (1, 1)],
        [(1, 0), (0, 0)],
        [(1, 1), (0, 1)],
        [(2, 2), (2, 3)],
        [(2, 2), (0, 2)],
        [(2, 3), (0, 3)],
        [(3, 0.5), (3, 2.5)],
        [(3, 0.5), (1, 0.5)],
        [(3, 2.5), (2, 2.5)],
    ]
    assert [[tuple(point) for point in segment] for segment in segments] == expected


def test_pure_subtrees_are_coloured_and_mixed_ones_grey():
    figure = hierarchy(TREE, superclasses=np.array([7, 3, 7, 5]), superclass_names=list("abcdefgh"))
    drawn = [to_hex(rgba) for rgba in branches(figure).get_colors()]
    pure, grey = color(2).lower(), FAINT.lower()
    # Leaves 0 and 2 share superclass 7; 1 and 3 share none, so their branches say nothing.
    assert drawn == [pure] * 3 + [grey] * 3 + [grey, pure, grey]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["d", "f", "h"]


def test_the_axis_starts_below_merges_that_lie_far_from_zero():
    tree = Tree(TREE.parents, np.array([0, 0, 0, 0, 9.0, 9.5, 10.0]))
    figure = hierarchy(tree)
    lowest = min(segment[:, 0].min() for segment in branches(figure).get_segments())
    assert lowest == pytest.approx(8.85)
    assert "The axis starts at 8.85" in words_of(figure)
    assert "axis starts" not in words_of(hierarchy(TREE))
    assert_legible(figure)


def test_examples_stand_beside_their_leaves():
    asked = []

    def image(index):
        asked.append(index)
        return np.zeros((10, 20))

    examples = np.arange(8).reshape(4, 2)
    figure = hierarchy(TREE, names=list("abcd"), examples=examples, image=image)
    assert asked == list(range(8))
    rows = [np.mean(picture.get_extent()[2:]) for picture in figure.axes[0].images]
    assert rows == pytest.approx([0, 0, 2, 2, 1, 1, 3, 3])
    names = {t.get_text(): t.get_position()[1] for t in figure.axes[0].texts}
    assert names == {"a": 0, "b": 2, "c": 1, "d": 3}
    low, high = figure.axes[0].get_xlim()
    for picture in figure.axes[0].images:
        assert high <= min(picture.get_extent()[:2])
        assert max(picture.get_extent()[:2]) < 0
    assert low > 3


@pytest.mark.parametrize(
    ("leaves", "pictures"), [(2, 0), (3, 0), (30, 0), (120, 0), (2, 3), (3, 3), (30, 3)]
)
def test_any_number_of_leaves_is_legible(leaves, pictures):
    generator = np.random.default_rng(0)
    points = generator.random((leaves, 2))
    tree = agglomerative_tree(np.linalg.norm(points[:, None] - points[None], axis=2))
    figure = hierarchy(
        tree,
        names=[f"American_Three_toed_Woodpecker {n}" for n in range(leaves)],
        superclasses=np.arange(leaves) % 13,
        superclass_names=[f"Procellariiformes {n}" for n in range(13)],
        examples=generator.integers(0, 9, (leaves, pictures)) if pictures else None,
        image=(lambda index: np.zeros((10, 12))) if pictures else None,
        height_name="geodesic distance of class means (average linkage)",
        title="HIER",
    )
    assert_legible(figure)
    assert "mixed ones are grey" in words_of(figure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["a"]}, "1 names for 4 leaves"),
        ({"superclasses": np.zeros(3, int)}, "must be 4 integers"),
        ({"superclasses": np.full(4, 2), "superclass_names": ["a"]}, "1 superclass names"),
        ({"examples": np.zeros((4, 1), int)}, "give both or neither"),
        ({"examples": np.zeros(4, int), "image": print}, r"must have shape \(4, E\)"),
    ],
)
def test_wrong_input_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        hierarchy(TREE, **options)
