"""The environment of a run is described as plain data."""

import json
import shutil

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
