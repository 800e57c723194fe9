"""Names that are safe to draw, and labels that make room for each other."""

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pml_hyperbolic.visualize import style


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("Black_footed_Albatross", "Black footed Albatross"),
        ("_hidden", "hidden"),
        ("$5 and $6", r"\$5 and \$6"),
        (17, "17"),
        ("x" * 40, "x" * 27 + "…"),
        ("two\n lines", "two lines"),
    ],
)
def test_names_are_drawn_as_they_are(name, drawn):
    assert style.shown(name) == drawn


def test_names_are_cut_to_fit():
    text = style.fitted("Scissor_tailed_Flycatcher", 0.6)
    assert text.startswith("Scissor")
    assert text.endswith("…")
    assert style.text_width(text) <= 0.6
    assert style.fitted("Crow", 0.6) == "Crow"


def test_the_first_49_groups_and_28_series_look_different():
    assert len({(style.color(n), style.marker(n)) for n in range(49)}) == 49
    looks = [tuple(style.series(n).values()) for n in range(28)]
    assert len(set(looks)) == 28


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=12),
    st.floats(0.01, 2),
)
def test_spreading_keeps_the_order_the_gap_and_the_bounds(positions, gap):
    moved = style.spread(positions, gap, 0, 10)
    order = np.argsort(positions, kind="stable")
    fits = min(gap, 10 / max(len(positions) - 1, 1))
    assert (np.diff(moved[order]) >= fits - 1e-9).all()
    assert moved.min() >= -1e-9
    assert moved.max() <= 10 + 1e-9


def test_spreading_leaves_alone_what_is_apart_and_shares_what_is_not():
    assert style.spread([5, 1, 3], 1, 0, 6).tolist() == [5, 1, 3]
    assert style.spread([2, 2], 1, 0, 6).tolist() == [1.5, 2.5]


def test_the_users_settings_neither_change_a_figure_nor_are_changed():
    with matplotlib.rc_context({"font.size": 33, "axes.spines.top": True}):
        make = style.styled(lambda: style.new_figure().add_subplot())
        axes = make()
        assert matplotlib.rcParams["font.size"] == 33
    assert axes.xaxis.label.get_fontsize() == 8.5
    assert not axes.spines["top"].get_visible()
