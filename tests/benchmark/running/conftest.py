"""Fixtures of the tests of running."""

import shutil

import pytest

from pml_hyperbolic.benchmark.running.runner import run_benchmark

SHORT = ("protocol.epochs=1", "protocol.steps_per_epoch=1")


@pytest.fixture
def go(load, tmp_path):
    """Run the tiny benchmark with overrides: rows, failures, what was said."""

    def run(*overrides, **kwargs):
        said = []
        config = load(*SHORT, *overrides)
        result = run_benchmark(
            config, tmp_path / "runs", say=said.append, show_progress=False, **kwargs
        )
        return *result, said

    return run


@pytest.fixture
def copied(tmp_path):
    """A function that copies the folder of a finished benchmark into ``runs``: the copy."""

    def copy(finished):
        return shutil.copytree(finished.folder, tmp_path / "runs" / "tiny")

    return copy
