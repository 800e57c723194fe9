"""The README's code runs as it stands."""

import re
import shutil
from pathlib import Path

import pytest

from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.embedder import Embedder

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
USE_THE_WINNER = README.partition("### Use the winner\n")[2].partition("\n### ")[0]
FIGURES = README.partition("### Figures\n")[2].partition("\n### ")[0]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of runs that the README speaks of, from very short training."""
    folder = tmp_path_factory.mktemp("readme") / "runs"
    short = ["protocol.epochs=1", "protocol.steps_per_epoch=1", "protocol.seeds=[0]"]
    config = str(ROOT / "benchmark_configs" / "digits.yaml")
    methods = "methods=[chest, hyp]"
    assert main(["run", config, methods, *short, "--jobs", "1", "--output", str(folder)]) == 0
    return folder


@pytest.fixture
def workplace(runs, tmp_path, monkeypatch):
    """A folder to work in, with the runs in it."""
    shutil.copytree(runs, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_readme_has_code():
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("code", BLOCKS)
def test_readme_code_runs(code, workplace, capsys):
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.strip()


def test_commands_that_use_the_winner(workplace, write_image, capsys):
    for name in ("birds/robin/1.png", "birds/wren/1.png", "birds/wren/2.png", "query.jpg"):
        write_image(workplace / name, (8, 8))
    Embedder.load("runs/digits/chest/fold0_seed0").save_pretrained("digits_model")
    commands = re.findall(r"^pml-hyperbolic (.*?)(?:  #.*)?$", USE_THE_WINNER, flags=re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["embed", "index", "find"]
    for command in commands:
        assert main(command.split()) == 0
    assert "query.jpg" in capsys.readouterr().out
    assert (workplace / "found.html").read_text().count("<img") == 4


def test_commands_that_draw_figures(workplace, capsys):
    commands = re.findall(r"^pml-hyperbolic (plot .*?)(?: +#.*)?$", FIGURES, flags=re.MULTILINE)
    assert len(commands) == 8
    for command in commands:
        # With a single epoch there is no curve to draw.
        curve = command.startswith("plot curves")
        assert main(command.split()) == (2 if curve else 0)
    assert capsys.readouterr().out.count("figure: ") == 7
    assert (workplace / "tree.svg").exists()
