"""The environment of a run is described as plain data."""

import json
import mmap
import shutil
from pathlib import Path

import pytest
import torch

from pml_hyperbolic.benchmark import environment


def test_description_is_plain_data():
    described = environment.describe_environment(torch.device("cpu"))
    assert json.loads(json.dumps(described)) == described
    assert described["device"] == "cpu"
    assert described["device_name"] is None
    assert described["torch_threads"] == torch.get_num_threads()


def test_commit_outside_a_repository(monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "environment.py"))
    assert environment.git_commit() is None


def test_commit_where_git_is_not_installed(monkeypatch):
    def absent(*args, **kwargs):
        raise FileNotFoundError("git")

    monkeypatch.setattr(environment.subprocess, "run", absent)
    assert environment.git_commit() is None


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_commit_of_a_checkout():
    commit = environment.git_commit()
    assert commit is None or (len(commit) == 40 and int(commit, 16) >= 0)


def test_command_of_a_run(monkeypatch):
    monkeypatch.setattr(environment.sys, "argv", ["/x/bin/pml-hyperbolic", "run", "a b.yaml"])
    assert environment.command_line() == "pml-hyperbolic run 'a b.yaml'"
    monkeypatch.setattr(environment.sys, "argv", ["/x/bin/pytest"])
    assert environment.command_line() is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_peak_memory_is_that_since_the_reset():
    device = torch.device("cpu")
    environment.reset_peak_memory(device)
    before = environment.peak_memory(device)
    # Fresh pages: torch might reuse memory that the process holds already.
    with mmap.mmap(-1, 64 * 2**20) as big:
        big.write(b"1" * len(big))
    assert environment.peak_memory(device) >= before + 32
