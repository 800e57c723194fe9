"""The matrix: its order, its names, its colour scales."""

import numpy as np
import pytest

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.visualize.affinity import affinity
from tests.visualize.rendering import assert_legible, words_of

SUPERCLASSES = np.array([1, 0, 1, 0, 2])
MATRIX = np.arange(25.0).reshape(5, 5)


def group_names(figure):
    return [t.get_text() for t in figure.axes[0].texts if t.get_gid() == "superclass name"]


def test_rows_and_columns_are_ordered_by_superclass():
    figure = affinity({"HIER": MATRIX}, SUPERCLASSES)
    order = [1, 3, 0, 2, 4]
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown, MATRIX[np.ix_(order, order)])


def test_superclasses_are_named_and_their_bars_cover_their_rows():
    figure = affinity(
        {"HIER": MATRIX},
        SUPERCLASSES,
        superclass_names=["gulls", "auks", "terns"],
        class_names=list("abcde"),
        similarity_names={"HIER": "cosine"},
    )
    axes = figure.axes[0]
    assert group_names(figure) == ["gulls", "auks", "terns"]
    classes = [t.get_text() for t in axes.texts if t.get_gid() == "class name"]
    assert classes == ["b", "d", "a", "c", "e"]
    bars = [p for p in axes.patches if p.get_x() < -0.5]
    assert [(bar.get_y(), bar.get_height()) for bar in bars] == [(-0.5, 2), (1.5, 2), (3.5, 1)]
    assert len({bar.get_facecolor() for bar in bars}) == 3
    assert "mean cosine" in words_of(figure)


@pytest.mark.parametrize("methods", [1, 2])
@pytest.mark.parametrize(("classes", "groups"), [(8, 3), (36, 20), (200, 37), (659, 120)])
def test_texts_do_not_overlap(methods, classes, groups):
    generator = np.random.default_rng(0)
    superclasses = np.sort(generator.integers(0, groups, classes))
    names = [f"A_superclass_with_a_long_name {n}" for n in range(groups)]
    matrices = {f"Method {n} with a long name": np.eye(classes) for n in range(methods)}
    figure = affinity(
        matrices,
        superclasses,
        superclass_names=names,
        class_names=[f"Scissor_tailed_Flycatcher {n}" for n in range(classes)],
    )
    assert_legible(figure)
    present = len(np.unique(superclasses))
    if len(group_names(figure)) < present:
        assert f"largest of {present} superclasses" in words_of(figure)
    assert "colour scale of its own" in words_of(figure) or methods == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, SUPERCLASSES), "one or two methods"),
        (({"a": MATRIX[:4]}, SUPERCLASSES), "must have shape"),
        (({"a": MATRIX}, SUPERCLASSES / 2), "integers from 0"),
        (({"a": MATRIX}, SUPERCLASSES - 1), "integers from 0"),
    ],
)
def test_wrong_input_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        affinity(*arguments)
    with pytest.raises(InputError, match="2 superclass names"):
        affinity({"a": MATRIX}, SUPERCLASSES, superclass_names=["a", "b"])
    with pytest.raises(InputError, match="1 class names"):
        affinity({"a": MATRIX}, SUPERCLASSES, class_names=["a"])
