"""A repetition is a seed, whose folds are averaged."""

import pytest

from pml_hyperbolic.benchmark.reporting.benchmark_results import BenchmarkResults
from pml_hyperbolic.benchmark.reporting.score_group import common_keys, repetitions, score_groups

METRIC = "mean_average_precision_at_r"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([(0, 1), (0, 0)], [[(0, 0)], [(0, 1)]]),
        ([(0, 0), (1, 0), (0, 1), (1, 1)], [[(0, 0), (1, 0)], [(0, 1), (1, 1)]]),
        # With one seed, the folds are the repetitions.
        ([(1, 7), (0, 7)], [[(0, 7)], [(1, 7)]]),
        ([(0, 0)], [[(0, 0)]]),
    ],
)
def test_repetitions(keys, expected):
    assert repetitions(keys) == expected


@pytest.fixture
def groups(tmp_path, write_run):
    """Method a on two folds under two seeds in two spaces, and method b with one of each."""
    for fold in (0, 1):
        for seed in (0, 1):
            score = 0.125 * fold + 0.5 * seed
            common = {"fold": fold, "seed": seed, "train": {METRIC: 0.75}}
            write_run("a", [score], **common, test_levels={"coarse": {METRIC: score / 2}})
            write_run("a", [score / 4], space="hyperbolic", **common)
    write_run("b", [0.5])
    return score_groups(BenchmarkResults.read([tmp_path / "bench"]))


def test_groups(groups):
    assert [g.title for g in groups] == ["a (euclidean)", "a (hyperbolic)", "b (euclidean)"]
    assert common_keys(groups) == [(0, 0)]


def test_values_are_means_over_folds(groups):
    assert groups[0].values("test", METRIC) == [0.0625, 0.5625]
    assert groups[1].values("test", METRIC) == [0.015625, 0.140625]
    assert groups[0].level_values("coarse", METRIC) == [0.03125, 0.28125]


def test_metrics_that_a_run_lacks_are_unknown(groups):
    assert groups[0].values("test", "recall_at_7") == []
    assert groups[1].level_values("coarse", METRIC) == []
    assert groups[0].concatenated_values(METRIC) == []


def test_gap(groups):
    assert groups[0].gap == [0.6875, 0.1875]
    assert groups[2].gap == []


def test_concatenated_scores_are_one_number_for_each_seed(tmp_path, write_run):
    for seed in (0, 1):
        for fold in (0, 1):
            write_run("c", fold=fold, seed=seed, concatenated={METRIC: 0.5 + seed / 4})
        write_run("d", seed=seed, benchmark="other", concatenated={METRIC: 0.5})
    (group,) = score_groups(BenchmarkResults.read([tmp_path / "bench"]))
    assert group.concatenated_values(METRIC) == [0.5, 0.75]
