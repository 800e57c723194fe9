"""What a run's folder holds, and what is not a run's folder."""

import numpy as np
import pytest

from pml_hyperbolic.benchmark.results.finished_run import FinishedRun
from pml_hyperbolic.errors import InputError

METRIC = "mean_average_precision_at_r"


def test_a_run(write_run):
    folder = write_run("a", [0.25, 0.5], fold=2, seed=3, packages={"torch": "2"})
    write_run("a", [0.5, 1.0], space="hyperbolic", fold=2, seed=3, packages={"torch": "2"})
    run = FinishedRun.read(folder)
    assert (run.method, run.key) == ("a", (2, 3))
    assert [row["space"] for row in run.rows] == ["euclidean", "hyperbolic"]
    assert run.environment["packages"] == {"torch": "2"}
    np.testing.assert_array_equal(run.query_scores("hyperbolic", METRIC), [0.5, 1.0])
    np.testing.assert_array_equal(run.query_scores("hyperbolic", "precision_at_1"), [0.25, 0.5])
    np.testing.assert_array_equal(run.query_indices(), [0, 1])


def test_a_run_that_kept_little(write_run):
    folder = write_run(queries=False)
    (folder / "environment.json").unlink()
    run = FinishedRun.read(folder)
    assert run.environment == {}
    assert run.query_scores("euclidean", METRIC) is None
    assert run.query_indices() is None
    np.savez(folder / "queries.npz", test_indices=np.arange(3))
    assert run.query_scores("euclidean", METRIC) is None


def test_damaged_queries(write_run):
    folder = write_run()
    (folder / "queries.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match=r"cannot read .*queries\.npz"):
        FinishedRun.read(folder).query_indices()


@pytest.mark.parametrize("content", [None, "[{", "{}", "[]", "[1]", '[{"method": 1}]'])
def test_no_result(tmp_path, content):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(InputError, match=r"result\.json is not a result"):
        FinishedRun.read(tmp_path)
