"""The core works with both generations of PML; what needs PML 2.9 says so in one line."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
STAND_IN = HERE / "stand_in"
REMEDY = 'pip install "pml-hyperbolic[benchmark]"'


def run(arguments, *, version_3, cwd=REPOSITORY):
    paths = [str(STAND_IN)] * version_3 + [str(REPOSITORY)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=environment,
        cwd=cwd,
    )


def run_program(program):
    return run(["-c", program], version_3=True)


def test_the_stand_in_is_what_is_imported():
    done = run_program(
        "import importlib.metadata, pytorch_metric_learning as pml\n"
        "print(pml.__file__, importlib.metadata.version('pytorch-metric-learning'))"
    )
    assert done.stdout.split() == [
        str(STAND_IN / "pytorch_metric_learning" / "__init__.py"),
        "3.0.4+standin",
    ]


@pytest.fixture(scope="module")
def checked():
    """What core_check.py computes with the installed PML and with the stand-in for PML 3."""
    found = []
    for version_3 in (False, True):
        done = run([str(HERE / "core_check.py")], version_3=version_3)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    return found


def test_the_core_trains_with_both_generations(checked):
    installed, stand_in = checked
    assert set(installed) == set(stand_in)
    assert len(installed) > 30


def test_both_generations_give_the_same_numbers(checked):
    installed, stand_in = checked
    for name, expected in installed.items():
        found = stand_in[name]
        if name.endswith(("_knn", "kmeans", "_mined")):
            assert found == expected, name
            continue
        pairs = zip(*(v if isinstance(v, list) else [v] for v in (found, expected)), strict=True)
        assert all(math.isclose(a, b, rel_tol=1e-5) for a, b in pairs), (name, found, expected)


def test_recalls_are_not_trivial(checked):
    """core_check.py compares them with a slow search; here, that there was something to find."""
    for found in checked:
        for name in ("hyperbolic", "euclidean"):
            precision, *recalls = found[name]
            assert recalls[0] == precision
            assert 0 < recalls[0] < recalls[-1] < 1


TERMS = """
import warnings
warnings.simplefilter("ignore")
import torch
from pml_hyperbolic.losses import CHESTLoss, HIERLoss, HypLoss

x, labels = torch.randn(12, 6, dtype=torch.bfloat16), (torch.arange(12) % 3).to(torch.int32)
for loss in (CHESTLoss(3, 3, 3, hierarchy_weight=1), HIERLoss(6, 8, num_neighbors=5), HypLoss()):
    name = type(loss).__name__
    torch.manual_seed(0)
    terms = loss.loss_terms(x, labels)
    torch.manual_seed(0)
    values = sum(term["losses"].mean() for term in terms.values()), loss(x, labels)
    assert values[0] == values[1] > 0, (name, values)
    assert all(p.dtype == torch.float32 for p in loss.parameters()), name
    bad = x.clone()
    bad[3, 4] = torch.nan
    calls = {"NaN or infinite": (bad, labels), "needs labels": (x,)}
    if name == "CHESTLoss":
        calls["labels 0 to 2"] = (x, labels + 1)
    for words, arguments in calls.items():
        try:
            loss.loss_terms(*arguments)
        except ValueError as error:
            assert words in str(error), (name, error)
        else:
            raise AssertionError((name, words))
"""


def test_loss_terms_are_checked_and_computed_as_the_loss_is():
    done = run_program(TERMS)
    assert done.returncode == 0, done.stderr


VERSION_2_ONLY = (
    "trainers",
    "testers",
    "benchmark.assembly.pipeline",
    "benchmark.assembly.evaluation",
    "benchmark.running.runner",
)


@pytest.mark.parametrize("module", VERSION_2_ONLY)
def test_what_needs_version_2_says_so_in_one_line(module):
    done = run_program(f"import pml_hyperbolic.{module}")
    message = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert message.startswith("ImportError: the trainers, testers and benchmarks of pml_hyperbolic")
    assert "need pytorch-metric-learning 2.9, but 3.0.4+standin is installed" in message
    assert message.endswith(REMEDY)


@pytest.mark.parametrize(("command", "options"), [("run", []), ("search", ["--trials", "1"])])
def test_the_command_line_says_so_in_one_line(command, options, tmp_path):
    config = str(REPOSITORY / "benchmark_configs" / "digits.yaml")
    arguments = ["-m", "pml_hyperbolic.benchmark", command, config, *options]
    done = run(arguments, version_3=True, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "3.0.4+standin is installed" in line
    assert line.endswith(REMEDY)
    assert list(tmp_path.iterdir()) == []
