"""A run's environment is what its file says, or unknown."""

import json

import pytest

from pml_hyperbolic.benchmark.results.run_environment import RunEnvironment


def read(tmp_path, text):
    file = tmp_path / "environment.json"
    file.write_text(text)
    return RunEnvironment.read(file)


def test_what_a_run_writes(tmp_path):
    environment = read(tmp_path, json.dumps({"packages": {"torch": "2"}, "python": "3.11"}))
    assert environment.packages == {"torch": "2"}
    assert environment.begun_with is environment.machine is None


@pytest.mark.parametrize(
    ("content", "machine"),
    [
        ({"device": "cpu", "device_name": None}, "cpu"),
        ({"device": "cuda", "device_name": "H100"}, "H100"),
        ({"device": "cuda", "device_name": "H100", "processes": 4}, "H100 in 4 processes"),
    ],
)
def test_machines(tmp_path, content, machine):
    assert read(tmp_path, json.dumps(content)).machine == machine


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        "[" * 100_000,
        '{"packages": ["torch"]}',
        '{"packages": {"torch": 2}}',
        '{"git_commit": []}',
        '{"device": {}}',
        '{"processes": "4"}',
    ],
)
def test_malformed_files_are_unknown(tmp_path, text):
    assert read(tmp_path, text) == RunEnvironment()


def test_a_missing_file_is_unknown(tmp_path):
    assert RunEnvironment.read(tmp_path / "environment.json") == RunEnvironment()
