"""Every check refuses runs in one line, and its override is noted in the report."""

import json

import pytest
import yaml

from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.reporting.benchmark_results import BenchmarkResults
from pml_hyperbolic.benchmark.reporting.comparability import CHECKS, check_comparable
from pml_hyperbolic.errors import InputError

BUDGET = {"trunk": 100, "head": 21, "loss": 5}
# Kind of finding -> (what differs in method b, words of the refusal).
PLANTED = {
    "protocols": ({"protocol_hash": "bbb"}, ["different protocols", "aaa", "bbb"]),
    "versions": ({"packages": {"torch": "2.6"}}, ["versions", "torch 2.5", "2.6"]),
    "parameters": (
        {"parameters": BUDGET},
        ["parameters", "a 120", "b 121", "different_parameters"],
    ),
    "data": ({"data": "other"}, ["used different data", "same", "other"]),
    "seeds": ({"seed": 1}, ["a lacks fold 0, seed 1", "b lacks fold 0, seed 0"]),
    "trials": ({"search_trials": 20}, ["search trials", "a 0, b 20"]),
}


@pytest.fixture
def bench(tmp_path, write_run):
    """A function that writes runs of methods a and b, the latter with changes."""

    def make(**changes):
        write_run("a")
        write_run("b", **changes)
        return tmp_path / "bench"

    return make


def test_every_check_is_tested():
    assert PLANTED.keys() == CHECKS.keys()


@pytest.mark.parametrize("kind", PLANTED)
def test_refused_in_one_line_and_overridden(bench, kind, refused, capsys):
    changes, words = PLANTED[kind]
    folder = bench(**changes)
    line = refused("report", folder)
    assert all(word in line for word in [*words, f"or pass --allow {kind}"])
    # Another kind's override does not help.
    others = [other for other in CHECKS if other != kind]
    assert f"--allow {kind}" in refused("report", folder, "--allow", *others)
    assert main(["report", str(folder), "--allow", kind]) == 0
    out = capsys.readouterr().out
    (note,) = [text for text in out.splitlines() if text.startswith("Check overridden")]
    assert f"({kind})" in note
    assert words[0] in note


def test_comparable_runs_need_no_notes(bench):
    results = BenchmarkResults.read([bench()])
    assert check_comparable(results) == []
    # An override that was not needed leaves no trace.
    assert check_comparable(results, CHECKS) == []


def test_an_absent_package_is_another_version(bench):
    folder = bench(packages={"torch": "2.5", "faiss-gpu": "1.9"})
    with pytest.raises(InputError, match=r"faiss-gpu none \(.*\) and 1\.9"):
        check_comparable(BenchmarkResults.read([folder]))


def test_packages_that_a_resumed_run_began_with_are_compared(bench):
    folder = bench(environment={"begun_with": {"torch": "2.4"}})
    with pytest.raises(InputError, match=r"torch 2\.5 \(.*\) and 2\.4"):
        check_comparable(BenchmarkResults.read([folder]))


def test_other_machines_are_noted(bench):
    folder = bench(environment={"device": "cuda", "device_name": "H200", "processes": 4})
    file = folder / "a" / "fold0_seed0" / "environment.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"device": "cpu", "processes": 1}))
    (note,) = check_comparable(BenchmarkResults.read([folder]))
    assert note.startswith("The runs were made on different machines (H200 in 4 processes; cpu): ")


def test_other_packages_do_not_matter(bench):
    folder = bench(packages={"torch": "2.5", "tqdm": "4"})
    assert check_comparable(BenchmarkResults.read([folder])) == []


def test_parameters_of_the_loss_may_differ(bench):
    folder = bench(parameters={"trunk": 100, "head": 20, "loss": 999})
    assert check_comparable(BenchmarkResults.read([folder])) == []


@pytest.mark.parametrize("by_row", [True, False])
def test_declared_parameters_are_noted(bench, by_row):
    folder = bench(parameters=BUDGET, **({"different_parameters": True} if by_row else {}))
    if not by_row:
        config = {"methods": {"a": {}, "b": {"different_parameters": True}}}
        (folder / "benchmark.yaml").write_text(yaml.safe_dump(config))
    (note,) = check_comparable(BenchmarkResults.read([folder]))
    assert note == "b declares different_parameters: 121 in trunk and head."


def test_declared_search_trials_are_noted(bench):
    folder = bench(search_trials=20, different_search_trials=True)
    (note,) = check_comparable(BenchmarkResults.read([folder]))
    assert note == "b declares different_search_trials: 20."


def test_a_missing_fold_is_noticed(bench, write_run):
    folder = bench()
    write_run("a", fold=1)
    write_run("a", fold=1, seed=1)
    with pytest.raises(InputError, match=r"a lacks fold 0, seed 1; b lacks fold 0, seed 1 and 2"):
        check_comparable(BenchmarkResults.read([folder]))


def test_different_settings_of_one_method_cannot_be_allowed(bench, write_run):
    folder = bench()
    write_run("a", seed=1, method_hash="another")
    write_run("b", seed=1)
    with pytest.raises(InputError, match=r"runs of a have different settings.*another"):
        check_comparable(BenchmarkResults.read([folder]), CHECKS)


def test_what_could_not_be_checked_is_noted(bench):
    folder = bench(parameters=None, environment={"git_commit": "222"})
    (folder / "a" / "fold0_seed0" / "environment.json").write_text('{"git_commit": "111"}')
    assert check_comparable(BenchmarkResults.read([folder])) == [
        "The package versions of 1 of 2 runs are unknown.",
        "The runs were made at 2 different commits.",
        "The numbers of parameters are unknown for: b.",
    ]
