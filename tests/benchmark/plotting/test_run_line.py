"""Which runs of a folder a figure shows."""

import numpy as np
import pytest

from pml_hyperbolic.benchmark.plotting.run_line import chosen_lines
from pml_hyperbolic.errors import InputError


def test_the_best_hyperbolic_method_and_the_baseline(tiny):
    scores = {
        name: np.mean(
            [
                row["test"]["mean_average_precision_at_r"]
                for row in tiny.rows
                if (row["method"], row["space"]) == (name, "hyperbolic")
            ]
        )
        for name in ("hier", "chest")
    }
    best, baseline = chosen_lines(tiny.folder, most=2)
    assert best.run.method == max(scores, key=scores.__getitem__)
    assert best.space == "hyperbolic"
    assert (baseline.run.method, baseline.space) == ("proxy_anchor", "euclidean")
    assert best.run.key == baseline.run.key == (0, 0)


def test_a_baseline_that_is_the_best_method_is_compared_with_another(tiny):
    (best,) = chosen_lines(tiny.folder, most=1)
    name = f"{best.run.method}/hyperbolic"
    first, second = chosen_lines(tiny.folder, most=2, baseline=name)
    assert first == best
    assert second.title != best.title


def test_space_and_seed(tiny):
    (line,) = chosen_lines(tiny.folder / "chest", most=1, space="euclidean", seed=1)
    assert (line.title, line.run.key) == ("chest (euclidean)", (0, 1))
    assert line.columns == slice(0, line.row.dimension)
    (other,) = chosen_lines(tiny.folder / "chest", most=1)
    assert other.columns == slice(line.row.dimension, line.row.total_dimension)
    with pytest.raises(InputError, match="no run with seed 5, it has seeds 0, 1"):
        chosen_lines(tiny.folder / "chest", most=1, seed=5)
