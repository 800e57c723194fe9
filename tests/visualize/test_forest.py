"""Differences: rows, intervals, verdicts."""

import pytest

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.visualize.forest import Difference, forest
from tests.visualize.rendering import assert_legible, words_of

LINES = [
    Difference("HIER", 1.2, 0.3, 2.1, "better"),
    Difference("CHEST/hyperbolic", -3.1, -5.0, -1.2, "worse"),
    Difference("Hyp", 0.1, -0.8, 1.1, "no difference shown"),
]


def test_every_row_has_its_interval_its_look_and_its_numbers():
    figure = forest(LINES, baseline="ProxyAnchor")
    axes = figure.axes[0]
    looks = set()
    for row, (line, container) in enumerate(zip(LINES, axes.containers, strict=True)):
        point, _, (bar,) = container
        assert (point.get_xdata()[0], point.get_ydata()[0]) == (line.value, row)
        assert bar.get_segments()[0][:, 0] == pytest.approx([line.low, line.high])
        assert point.get_gid() == line.verdict
        looks.add((point.get_color(), point.get_marker()))
    assert len(looks) == 3
    assert [t.get_text() for t in axes.get_yticklabels()] == [line.name for line in LINES]
    assert "+1.20  [+0.30, +2.10]" in words_of(figure)
    assert "difference to ProxyAnchor" in axes.get_xlabel()
    low, high = axes.get_xlim()
    assert low < -5
    assert high > 2.1


@pytest.mark.parametrize("count", [1, 2, 33])
def test_any_number_of_rows_is_legible(count):
    lines = [
        Difference(f"a method with a long name/hyperbolic {n}", n, n - 1, n + 1.5, "better")
        for n in range(count)
    ]
    assert_legible(forest(lines, baseline="a baseline whose name is long as well, and then some"))


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="at least one difference"):
        forest([], baseline="a")
    with pytest.raises(InputError, match="verdict of 'HIER' must be one of"):
        forest([LINES[0]._replace(verdict="good")], baseline="a")
    with pytest.raises(InputError, match="interval of 'HIER' must hold its value"):
        forest([LINES[0]._replace(low=1.5)], baseline="a")
