"""A finished run is read from its folder, and other folders are refused."""

import numpy as np
import pytest

from pml_hyperbolic.benchmark.results.finished_run import FinishedRun
from pml_hyperbolic.benchmark.results.metric_names import MAP_AT_R
from pml_hyperbolic.benchmark.results.run_environment import RunEnvironment
from pml_hyperbolic.errors import InputError


def test_a_finished_run(write_run):
    folder = write_run("a", [0.25, 0.5], fold=2, seed=3, packages={"torch": "2"})
    write_run("a", [0.5, 1.0], space="hyperbolic", fold=2, seed=3, packages={"torch": "2"})
    run = FinishedRun.read(folder)
    assert (run.method, run.key) == ("a", (2, 3))
    assert [row.space for row in run.rows] == ["euclidean", "hyperbolic"]
    assert run.environment.packages == {"torch": "2"}
    np.testing.assert_array_equal(run.query_scores("hyperbolic", MAP_AT_R), [0.5, 1.0])
    np.testing.assert_array_equal(run.query_scores("hyperbolic", "precision_at_1"), [0.25, 0.5])
    np.testing.assert_array_equal(run.query_indices(), [0, 1])
    first, second = (row.dimension for row in run.rows)
    assert run.columns("euclidean") == slice(0, first)
    assert run.columns("hyperbolic") == slice(first, first + second)


def test_a_run_without_environment_and_queries(write_run):
    folder = write_run(queries=False)
    (folder / "environment.json").unlink()
    run = FinishedRun.read(folder)
    assert run.environment == RunEnvironment()
    assert run.query_scores("euclidean", MAP_AT_R) is None
    assert run.query_indices() is None
    np.savez(folder / "queries.npz", test_indices=np.arange(3))
    assert run.query_scores("euclidean", MAP_AT_R) is None


def test_damaged_queries_are_refused(write_run):
    folder = write_run()
    (folder / "queries.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match=r"cannot read .*queries\.npz"):
        FinishedRun.read(folder).query_indices()


@pytest.mark.parametrize("content", [None, "[{", "{}", "[]", "[1]", '[{"method": 1}]'])
def test_folders_without_a_result_are_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(InputError, match=r"result\.json is not a result"):
        FinishedRun.read(tmp_path)
