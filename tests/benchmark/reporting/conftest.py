"""Fixtures of the tests of reports."""

import numpy as np
import pytest

from pml_hyperbolic.benchmark.results.metric_names import MAP_AT_R


def columns(table):
    """Return the lines of a table as dicts, by column."""
    return [dict(zip(table.header, cells, strict=True)) for cells in table.rows]


@pytest.fixture
def table_of():
    """A function that returns the lines of a report's table, by the title of the table."""

    def find(report, title):
        (table,) = [table for table in report.tables if table.title == title]
        return columns(table)

    return find


@pytest.fixture
def bench(tmp_path, write_run):
    """A Euclidean baseline, a hyperbolic method with its flat twin, three seeds each."""
    difficulty = np.random.default_rng(0).uniform(0.2, 0.6, 60)
    for method, gain in (("base", 0), ("hyp", 0.2), ("hyp_flat", 0.19)):
        for seed in range(3):
            generator = np.random.default_rng([len(method), seed])
            scores = difficulty + gain + generator.normal(0, 0.02, 60)
            mean = float(scores.mean())
            changes = {"flat_twin_of": "hyp"} if method == "hyp_flat" else {}
            write_run(
                method,
                scores,
                seed=seed,
                space="euclidean" if method == "base" else "hyperbolic",
                train={MAP_AT_R: mean + 0.25},
                **changes,
            )
    return tmp_path / "bench"
