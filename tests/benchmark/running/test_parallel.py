"""Runs may be done several at a time, and a failed one stops no other."""

import pytest

from pml_hyperbolic.benchmark.running import parallel
from pml_hyperbolic.benchmark.running.parallel import default_jobs


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_run_stops_no_other(go, jobs):
    overrides = ["methods=[broken, proxy_anchor]", "protocol.steps_per_epoch=4"]
    rows, failures, _ = go(*overrides, jobs=jobs)
    assert [(row.method, row.seed) for row in rows] == [
        ("proxy_anchor", 0),
        ("proxy_anchor", 1),
    ]
    assert sorted(outcome.task.title for outcome in failures) == [
        "broken, fold 0, seed 0",
        "broken, fold 0, seed 1",
    ]
    for outcome in failures:
        assert "NonFiniteError" in outcome.error
        assert "lower the learning rate" in outcome.error
        assert "no epoch was finished, so there is no good checkpoint" in outcome.error
        assert "Traceback" in outcome.details
        assert (outcome.task.folder / "run.log").is_file()
    # A failed run is not finished, so it is tried again.
    _, failures, said = go(*overrides, jobs=jobs)
    assert len(failures) == 2
    assert "2 are left to do" in said[0]


def test_default_jobs_leave_each_run_its_threads(load, monkeypatch):
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda pid: range(8), raising=False)
    assert default_jobs(load()) == 8
    assert default_jobs(load("protocol.threads=3")) == 2
    assert default_jobs(load("protocol.threads=20")) == 1
