"""The environment of a run is described as plain data."""

import json
import mmap
import shutil
import subprocess
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


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_an_installed_package_has_no_commit(monkeypatch, tmp_path):
    """Not even that of a repository which its environment lies in."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    commit = ["commit", "--quiet", "--allow-empty", "--message", "theirs"]
    subprocess.run(["git", "-C", tmp_path, *who, *commit], check=True)
    module = "environment/lib/site-packages/pml_hyperbolic/benchmark/environment.py"
    monkeypatch.setattr(environment, "__file__", str(tmp_path / module))
    assert environment.git_commit() is None


def test_a_checkout_that_git_cannot_read_has_no_commit(monkeypatch, tmp_path):
    (tmp_path / ".git").write_text("gitdir: nowhere")
    module = tmp_path / "pml_hyperbolic/benchmark/environment.py"
    module.parent.mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(module))
    assert environment.git_commit() is None


def test_commit_where_git_is_not_installed(monkeypatch):
    def absent(*args, **kwargs):
        raise FileNotFoundError("git")

    monkeypatch.setattr(environment.subprocess, "run", absent)
    monkeypatch.setattr(environment.Path, "exists", lambda path: True)
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
