"""Comparisons pair runs and queries, choose the baseline, and attribute gains to curvature."""

import math

import numpy as np
import pytest

from pml_hyperbolic.benchmark.reporting.benchmark_results import BenchmarkResults
from pml_hyperbolic.benchmark.reporting.comparison import (
    choose_baseline,
    compare,
    curvature_controls,
)
from pml_hyperbolic.benchmark.reporting.score_group import score_groups
from pml_hyperbolic.benchmark.reporting.statistics import holm
from pml_hyperbolic.errors import InputError

METRIC = "mean_average_precision_at_r"
QUERIES = 80


@pytest.fixture
def read(tmp_path):
    """A function that returns the groups of the benchmark that the test wrote."""
    return lambda: score_groups(BenchmarkResults.read([tmp_path / "bench"]))


@pytest.fixture
def write_method(write_run):
    """A function that writes all runs of a method: common difficulties of queries, plus a gain."""

    def write(method, gain=0.0, *, seeds=range(5), folds=(0,), noise=0.05, **changes):
        difficulty = np.random.default_rng(0).uniform(0.2, 0.6, QUERIES)
        for fold in folds:
            for seed in seeds:
                generator = np.random.default_rng([len(method), ord(method[0]), fold, seed])
                shift = gain + generator.normal(0, 0.01)
                scores = difficulty + shift + generator.normal(0, noise, QUERIES)
                write_run(method, scores, fold=fold, seed=seed, **changes)

    return write


def test_gains_and_losses(read, write_method):
    write_method("base")
    write_method("good", 0.2)
    write_method("worse", -0.2)
    write_method("same")
    groups = read()
    baseline, why = choose_baseline(groups, None)
    assert (baseline.method, why) == ("base", "the first Euclidean method")
    comparisons = compare(groups, baseline)
    verdicts = {groups[i].method: c.verdict for i, c in comparisons[METRIC].items()}
    assert verdicts == {"good": "better", "worse": "worse", "same": "no difference shown"}
    assert all(c.over_queries for c in comparisons[METRIC].values())
    # R@1 of these runs is half of their MAP@R, and is corrected as a family of its own.
    for i, c in comparisons["precision_at_1"].items():
        assert c.test.difference == pytest.approx(comparisons[METRIC][i].test.difference / 2)
    good = next(c for i, c in comparisons[METRIC].items() if groups[i].method == "good")
    assert good.test.difference == pytest.approx(0.2, abs=0.03)
    family = list(comparisons[METRIC].values())
    assert [c.p_corrected for c in family] == holm([c.test.p_value for c in family])


def test_pairing_by_query_is_what_finds_small_gains(read, write_method, tmp_path):
    """The same gain is hidden by the difficulty of the queries if these are shuffled."""
    write_method("base")
    write_method("good", 0.03)
    groups = read()
    shown = compare(groups, groups[0])[METRIC][1]
    assert shown.verdict == "better"
    for key, run in groups[1].runs.items():
        arrays = dict(np.load(run.folder / "queries.npz"))
        order = np.random.default_rng(key[1]).permutation(QUERIES)
        arrays["euclidean/average_precision_at_r"] = arrays["euclidean/average_precision_at_r"][
            order
        ]
        np.savez(run.folder / "queries.npz", **arrays)
    shuffled = compare(groups, groups[0])[METRIC][1]
    assert shuffled.test.difference == pytest.approx(shown.test.difference)
    assert shuffled.test.standard_error > 1.5 * shown.test.standard_error


def test_folds_are_averaged_within_seeds(read, write_method):
    write_method("base", folds=(0, 1), seeds=(0, 1, 2))
    write_method("good", 0.1, folds=(0, 1), seeds=(0, 1, 2))
    groups = read()
    comparison = compare(groups, groups[0])[METRIC][1]
    assert comparison.replicates.repetitions == 3
    assert comparison.replicates.queries == QUERIES
    expected = np.mean(
        [
            groups[1].runs[key].query_scores("euclidean", METRIC)
            - groups[0].runs[key].query_scores("euclidean", METRIC)
            for key in groups[0].runs
        ]
    )
    assert comparison.test.difference == pytest.approx(expected, rel=1e-5)


def test_without_queries_seeds_alone(read, write_method):
    write_method("base")
    write_method("good", 0.2)
    write_method("none", 0.2, queries=False)
    write_method("other", 0.2, indices=np.arange(QUERIES) + 1)
    groups = read()
    comparisons = compare(groups, groups[0])[METRIC]
    assert {groups[i].method: c.over_queries for i, c in comparisons.items()} == {
        "good": True,
        "none": False,
        "other": False,
    }
    assert comparisons[2].replicates.queries == 1
    assert comparisons[2].verdict == "better"
    differences = np.subtract(groups[2].values("test", METRIC), groups[0].values("test", METRIC))
    assert comparisons[2].test.standard_error == pytest.approx(
        differences.std(ddof=1) / math.sqrt(5), rel=0.05
    )


def test_queries_without_a_score_are_left_out(read, write_run):
    for seed in (0, 1):
        write_run("base", [0.5, np.nan, 0.5], seed=seed)
        write_run("good", [0.75, 0.5, 1.0], seed=seed)
    groups = read()
    comparison = compare(groups, groups[0])[METRIC][1]
    assert comparison.test.difference == pytest.approx(0.375)
    assert comparison.replicates.queries == 2


def test_runs_in_common(read, write_method):
    write_method("base", seeds=(0, 1, 2))
    write_method("fewer", seeds=(1, 2))
    write_method("one", seeds=(2,))
    write_method("apart", seeds=(7,))
    groups = read()
    names = {group.method: i for i, group in enumerate(groups)}
    comparisons = compare(groups, groups[names["base"]])[METRIC]
    assert comparisons[names["fewer"]].keys == [(0, 1), (0, 2)]
    assert comparisons[names["one"]].verdict == "not tested"
    assert names["apart"] not in comparisons


@pytest.mark.parametrize(
    ("name", "configured", "chosen", "why"),
    [
        (None, None, "two (euclidean)", "the first Euclidean method"),
        (None, "both", "both (euclidean)", "the config's baseline"),
        (None, "gone", "two (euclidean)", "the first Euclidean method"),
        ("both", "two", "both (euclidean)", "as requested"),
        ("both/hyperbolic", None, "both (hyperbolic)", "as requested"),
        ("a_hyp", None, "a_hyp (hyperbolic)", "as requested"),
    ],
)
def test_baselines(read, write_run, name, configured, chosen, why):
    write_run("a_hyp", space="hyperbolic")
    write_run("both")
    write_run("both", space="hyperbolic")
    write_run("two")
    baseline, reason = choose_baseline(read(), name, configured)
    assert (baseline.title, reason) == (chosen, why)


def test_no_euclidean_method(read, write_run):
    write_run("b", space="hyperbolic")
    write_run("a", space="hyperbolic")
    baseline, why = choose_baseline(read(), None)
    assert baseline.method == "a"
    assert "no method is Euclidean" in why


@pytest.mark.parametrize(
    ("name", "message"),
    [("basse", "did you mean 'base'"), ("base/hyperbolic", "no space 'hyperbolic'")],
)
def test_wrong_baselines(read, write_run, name, message):
    write_run("base")
    with pytest.raises(InputError, match=message):
        choose_baseline(read(), name)


@pytest.fixture
def control(read, write_method):
    """A function that returns the curvature control of a method and a twin with these gains."""

    def make(gain, twin_gain, baseline="base", **changes):
        write_method("base", noise=0.02)
        write_method("hyp", gain, noise=0.02, space="hyperbolic")
        write_method("zero", twin_gain, noise=0.02, space="hyperbolic", **changes)
        groups = read()
        chosen, _ = choose_baseline(groups, baseline)
        return curvature_controls(groups, chosen, compare(groups, chosen)[METRIC], {"zero": "hyp"})

    return make


def test_a_twin_with_most_of_the_gain(control):
    (result,) = control(0.2, 0.15)
    share, low, high = result.share
    assert share == pytest.approx(result.twin_gain.difference / result.gain.difference)
    assert 0.6 < low < share < high < 0.9
    assert result.against_twin.difference == pytest.approx(0.05, abs=0.02)
    assert result.verdict == "better"


def test_a_twin_with_all_of_the_gain(control):
    (result,) = control(0.2, 0.2)
    assert result.share[1] < 1 < result.share[2]
    assert result.verdict == "no difference shown"


@pytest.mark.parametrize("gain", [0.0, -0.2])
def test_no_gain_has_no_share(control, gain):
    (result,) = control(gain, 0.0)
    assert result.share is None
    assert result.verdict == ("worse" if gain else "no difference shown")


def test_twins_do_not_count_among_the_contenders(read, write_method):
    write_method("base")
    for method, gain in (("good", 0.02), ("curved", 0.01), ("flat", 0.01)):
        write_method(method, gain)
    groups = read()

    def corrected(twins):
        found = compare(groups, groups[0], twins)[METRIC]
        return {groups[i].method: c.p_corrected for i, c in found.items()}

    raw = {groups[i].method: c.test.p_value for i, c in compare(groups, groups[0])[METRIC].items()}
    assert corrected(["flat"])["flat"] == raw["flat"]
    assert corrected(["flat"])["good"] == pytest.approx(
        min(1, 2 * raw["good"])
        if raw["good"] <= raw["curved"]
        else max(raw["good"], 2 * raw["curved"])
    )


def test_a_gain_that_is_not_shown_is_not_shared(control):
    (result,) = control(0.002, 0.001)
    assert result.gain.difference != 0
    assert result.share is None


@pytest.mark.parametrize("baseline", ["hyp", "zero"])
def test_one_of_the_two_is_the_baseline(control, baseline):
    (result,) = control(0.2, 0.1, baseline=baseline)
    assert result.gain is None
    assert result.against_twin.difference == pytest.approx(0.1, abs=0.02)
    assert result.verdict == "better"


@pytest.mark.parametrize("changes", [{"seeds": range(4)}, {"queries": False}])
def test_twins_that_do_not_pair(control, changes):
    assert control(0.2, 0.1, **changes) == []
