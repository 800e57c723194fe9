"""Between settings and Optuna's parameters: there and back, counted, and edges recognised."""

import math

import pytest

from pml_hyperbolic.benchmark.config import SearchRange
from pml_hyperbolic.benchmark.tuning.search_space import (
    at_edge,
    distribution,
    points,
    size,
    spread,
    to_parameter,
    to_value,
)

GRID = SearchRange(grid=[0.01, 0.1, 1])
CHOICES = SearchRange(choices=["a", True, 1, 2.5])
WHOLE = SearchRange(low=2, high=5)
RATES = SearchRange(low=1e-4, high=10, log=True)


@pytest.mark.parametrize("allowed", [GRID, CHOICES, WHOLE], ids=["grid", "choices", "whole"])
def test_every_point_there_and_back(allowed):
    found = [to_value(allowed, point["x"]) for point in points({"x": allowed})]
    expected = allowed.grid or allowed.choices or [2, 3, 4, 5]
    assert list(map(repr, found)) == list(map(repr, expected))
    assert size({"x": allowed}) == len(expected)
    for value in found:
        parameter = to_parameter(allowed, value)
        distribution(allowed).to_internal_repr(parameter)
        assert repr(to_value(allowed, parameter)) == repr(value)


@pytest.mark.parametrize(
    ("allowed", "value", "nearest"),
    [
        # 0.05 is nearer to 0.01 by difference, to 0.1 by ratio.
        (GRID, 0.05, 0.1),
        (GRID, 1e-9, 0.01),
        (SearchRange(grid=[-1, 0, 5]), 3, 5),
        (CHOICES, "z", "a"),
        (CHOICES, 2.5, 2.5),
        (WHOLE, 9, 5),
        (WHOLE, 1, 2),
        (RATES, 100.0, 10.0),
        (RATES, 0.3, 0.3),
    ],
)
def test_what_lies_outside_moves_to_the_nearest(allowed, value, nearest):
    assert to_value(allowed, to_parameter(allowed, value)) == nearest


def test_a_space_is_as_large_as_its_parts_together():
    assert size({"a": GRID, "b": WHOLE}) == 12
    assert len(list(points({"a": GRID, "b": WHOLE}))) == 12
    assert size({"a": GRID, "b": RATES}) == math.inf


@pytest.mark.parametrize(
    ("allowed", "inside", "edges"),
    [
        (GRID, [0.1], [0.01, 1]),
        (CHOICES, ["a", 2.5], []),
        (WHOLE, [3, 4], [2, 5]),
        (RATES, [2e-4, 0.1, 5.0], [1e-4, 1.1e-4, 9.0, 10.0]),
        (SearchRange(low=0.0, high=1.0), [0.03, 0.97], [0.0, 0.01, 0.99, 1.0]),
    ],
)
def test_edges(allowed, inside, edges):
    tried = [*inside, *allowed.extremes]
    assert [at_edge(allowed, value, tried) for value in inside] == [False] * len(inside)
    assert [at_edge(allowed, value, tried) for value in edges] == [True] * len(edges)


@pytest.mark.parametrize(
    ("allowed", "tried", "edges"),
    [
        (RATES, [1e-3, 0.1, 1.0], [1e-3, 1.0]),
        (RATES, [0.1], [0.1]),
        (WHOLE, [3, 4], [3, 4]),
        (SearchRange(grid=[1, 2, 3, 4]), [2, 3, 4], [2, 4]),
        (CHOICES, ["a", 1], []),
    ],
)
def test_beyond_an_edge_nothing_was_tried(allowed, tried, edges):
    assert [value for value in tried if at_edge(allowed, value, tried)] == edges


@pytest.mark.parametrize("settings", [1, 2, 3, 4])
def test_spread_points_divide_every_range_evenly(settings):
    space = {f"rate{number}": RATES for number in range(settings)}
    for count in (7, 15):
        rows = spread(space, count)
        assert len(rows) == count
        steps = [10 ** (-4 + 5 * step / (count + 1)) for step in range(1, count + 1)]
        for path in space:
            assert sorted(row[path] for row in rows) == pytest.approx(steps, rel=1e-12)
    assert spread(space, 4) == spread(space, 15)[:4]


def test_spread_points_are_parameters_of_every_kind():
    grid = SearchRange(grid=[0.01, 0.1, 1, 10])
    decades = SearchRange(low=1, high=1000, log=True)
    space = {
        "grid": grid,
        "choices": CHOICES,
        "whole": WHOLE,
        "linear": SearchRange(low=-1.0, high=1.0),
        "decades": decades,
    }
    rows = spread(space, 15)
    for row in rows:
        for path, allowed in space.items():
            kind = distribution(allowed)
            assert kind._contains(kind.to_internal_repr(row[path]))
    # Of 15 points spread over 4 equal parts, each part has 3 or 4.
    for path, known in (("grid", range(4)), ("choices", CHOICES.choices), ("whole", range(2, 6))):
        drawn = [repr(row[path]) for row in rows]
        assert all(3 <= drawn.count(repr(one)) <= 4 for one in known)
    assert sorted(row["linear"] for row in rows) == pytest.approx([k / 8 - 1 for k in range(1, 16)])
    assert 1 <= min(row["decades"] for row in rows) <= 2
    assert all(isinstance(row["decades"], int) for row in rows)


def test_extremes():
    assert RATES.extremes == [1e-4, 10]
    assert GRID.extremes == [0.01, 0.1, 1]
    assert CHOICES.extremes == CHOICES.choices
