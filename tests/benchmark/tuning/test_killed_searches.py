"""A search that is killed anywhere loses no proposal, doubles none, and does not hang."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmark.tuning import killed_searches

from ..conftest import METHODS, TINY

ROOT = Path(__file__).resolve().parents[3]
METHOD = {**METHODS["chest"], "search": {"loss_lr": {"low": 1e-4, "high": 10, "log": True}}}


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory, write_config):
    """Scenario -> [(point, whether a worker was killed, finished trials), ...]."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    folder = tmp_path_factory.mktemp("killed")
    config = write_config(folder, {**TINY, "methods": ["chest"]}, {"chest": METHOD})
    done = subprocess.run(
        [sys.executable, killed_searches.__file__, config, folder / "runs"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = {}
    for line in done.stdout.splitlines():
        scenario, *rest = json.loads(line)
        found.setdefault(scenario, []).append(rest)
    return found


@pytest.mark.parametrize(("scenario", "trials", "fewest"), [("new", 1, 11), ("learnt", 12, 7)])
def test_killed_at_every_point_of_a_search(scenarios, scenario, trials, fewest):
    (_, _, whole), *killed = scenarios[scenario]
    assert [number for number, _, _ in whole] == list(range(trials))
    assert len({rate for _, rate, _ in whole}) == trials
    assert len(killed) >= fewest
    assert [point for point, _, _ in killed] == list(range(1, len(killed) + 1))
    for point, was_killed, found in killed:
        assert was_killed, point
        assert found == whole, point


def test_killed_again_and_again(scenarios):
    (deaths, _, found), (_, _, whole) = scenarios["again"]
    assert deaths >= 3
    assert found == whole
    assert len({rate for _, rate, _ in whole}) == 15


def test_several_workers_that_are_killed(scenarios):
    assert len(scenarios["together"]) == 3
    for points, killed, found in scenarios["together"]:
        assert killed, points
        assert [number for number, _, _ in found] == list(range(6))
        # The first trial has the settings of the file.
        assert found[0][1] == METHOD["loss_lr"]
        assert len({rate for _, rate, _ in found}) == 6
