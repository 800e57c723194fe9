"""Scripts start with the package as it is, and a maintainer is told of each."""

import runpy
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.suffix in (".py", ".sh"))
PYTHON = [path for path in SCRIPTS if path.suffix == ".py"]
BASH = [path for path in SCRIPTS if path.suffix == ".sh"] + [ROOT / ".ci" / "run"]
# What the other scripts take their functions from; nobody calls it.
SOURCED = "environment.sh"


@pytest.mark.parametrize("script", PYTHON, ids=lambda path: path.name)
def test_help_names_the_options(script, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    assert f"usage: {script.name}" in capsys.readouterr().out


@pytest.mark.parametrize("script", BASH, ids=lambda path: path.name)
def test_bash_reads_the_script(script):
    subprocess.run(["bash", "-n", script], check=True, timeout=60)


def test_contributors_are_told_of_every_script():
    text = (ROOT / "CONTRIBUTING.md").read_text() + (ROOT / "README.md").read_text()
    unnamed = [path.name for path in SCRIPTS if f"scripts/{path.name}" not in text]
    assert unnamed == [SOURCED]
    callers = [path for path in BASH if f"source scripts/{SOURCED}" in path.read_text()]
    assert len(callers) > 1
