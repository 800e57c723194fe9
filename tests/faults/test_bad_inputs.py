"""Bad inputs of the command line: each ends with status 2, one exact line, and nothing written.

The table is bad_inputs.json. A case names the files that it needs beside the tiny benchmark, the
arguments, and the whole line; TMP stands for the current folder.
"""

import json
from pathlib import Path

import pytest
import yaml

from pml_hyperbolic.benchmark.cli import main
from tests.benchmark.conftest import METHODS, TINY

CASES = json.loads(Path(__file__).with_name("bad_inputs.json").read_text(encoding="utf-8"))


def test_the_table_is_large():
    assert len(CASES) >= 120
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[ascii(case["name"])[1:-1] for case in CASES])
def test_bad_input(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    methods = {f"methods/{name}.yaml": yaml.safe_dump(said) for name, said in METHODS.items()}
    files = {"tiny.yaml": yaml.safe_dump(TINY), **methods, **case["files"]}
    for name, content in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(content, encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    assert main(case["arguments"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.replace(str(tmp_path), "TMP") == f"{case['message']}\n"
    assert sorted(tmp_path.rglob("*")) == before
