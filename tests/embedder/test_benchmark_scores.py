"""Scores around a run: means and intervals over seeds, and one plain comparison."""

import json

import pytest
from scipy import stats

from pml_hyperbolic.checked_files import write_checked_json
from pml_hyperbolic.embedder.benchmark_scores import PRIMARY, benchmark_scores, mean_interval
from pml_hyperbolic.errors import InputError


def row(method, seed, score, *, space="euclidean", fold=0, **changes):
    return {
        "method": method,
        "space": space,
        "fold": fold,
        "seed": seed,
        "dimension": 4,
        "protocol_hash": "p",
        "method_hash": f"hash of {method}",
        "test": {PRIMARY: score},
        "validation": {PRIMARY: score / 2},
        **changes,
    }


@pytest.fixture
def write(tmp_path):
    """A function that writes the rows of one run and returns its folder."""

    def write_rows(*rows):
        one = rows[0]
        folder = tmp_path / one["method"] / f"fold{one['fold']}_seed{one['seed']}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(rows))
        return folder

    return write_rows


def test_interval_is_students():
    values = [0.1, 0.4, 0.5, 0.9]
    mean, interval = mean_interval(values)
    expected = stats.t.interval(0.95, 3, loc=0.475, scale=stats.sem(values))
    assert mean == pytest.approx(0.475)
    assert interval == pytest.approx(expected)
    assert mean_interval([0.3]) == (0.3, None)


def test_seeds_folds_and_methods(write):
    own = row("a", 0, 0.5)
    folder = write(own)
    for seed, fold, score in ((0, 1, 0.7), (1, 0, 0.6), (1, 1, 0.6)):
        write(row("a", seed, score, fold=fold))
    write(row("b", 0, 0.9, space="hyperbolic"))
    write(row("c", 0, 0.9, protocol_hash="another"))
    write(row("a", 2, 0.1, method_hash="edited"))
    scores = benchmark_scores(folder, [own])
    assert scores["run"] == {"euclidean": {"test": {PRIMARY: 0.5}, "validation": {PRIMARY: 0.25}}}
    first, second = scores["benchmark"]
    assert (first["method"], first["seeds"], first["test"][PRIMARY]["mean"]) == (
        "a",
        2,
        pytest.approx(0.6),
    )
    assert second == {
        "method": "b",
        "space": "hyperbolic",
        "dimension": 4,
        "seeds": 1,
        "test": {PRIMARY: {"mean": 0.9, "interval_95": None}},
    }
    assert scores["verdict"] == (
        "a (euclidean) against b (hyperbolic), the best other method by MAP@R: -40.0 points of "
        "MAP@R with one seed, so the difference was not tested."
    )


@pytest.mark.parametrize(
    ("others", "word"),
    [
        ((0.30, 0.31, 0.29), "better, +20.0 points"),
        ((0.70, 0.71, 0.69), "worse, -20.0 points"),
        ((0.30, 0.60, 0.63), "no difference shown, -1.0 points"),
    ],
)
def test_verdict_pairs_by_seed(write, others, word):
    own = row("a", 0, 0.5)
    folder = write(own)
    for seed in (1, 2):
        write(row("a", seed, 0.5))
    for seed, score in enumerate(others):
        write(row("b", seed, score))
        write(row("worst", seed, 0.01))
    verdict = benchmark_scores(folder, [own])["verdict"]
    assert verdict.startswith(
        f"a (euclidean) against b (euclidean), the best other method by MAP@R: {word}"
    )
    assert "over 3 seeds" in verdict


def test_nothing_around_the_run(tmp_path, write):
    own = row("a", 0, 0.5)
    scores = benchmark_scores(write(own), [own])
    assert scores["verdict"].startswith("No other method was run")
    assert len(scores["benchmark"]) == 1


def test_damaged_results_of_others_do_not_matter(write, tmp_path):
    own = row("a", 0, 0.5)
    folder = write(own)
    for name, text in (("b", "{"), ("c", "[1]"), ("d", "{}"), ("e", '[{"method": "e"}]')):
        (tmp_path / name / "fold0_seed0").mkdir(parents=True)
        (tmp_path / name / "fold0_seed0" / "result.json").write_text(text)
    assert len(benchmark_scores(folder, [own])["benchmark"]) == 1


def test_other_seeds_are_no_pairs(write):
    own = row("a", 0, 0.5)
    folder = write(own)
    write(row("b", 1, 0.6))
    assert "share no seed" in benchmark_scores(folder, [own])["verdict"]


def test_a_damaged_sibling_is_named(write):
    """Without its rows, another run might be the best."""
    own = row("a", 0, 0.5)
    folder = write(own)
    other = write(row("b", 0, 0.9))
    write_checked_json(other / "result.json", [row("b", 0, 0.9)])
    text = (other / "result.json").read_text()
    assert len(benchmark_scores(folder, [own])["benchmark"]) == 2
    (other / "result.json").write_text(text.replace("0.9", "0.1", 1))
    with pytest.raises(InputError, match=rf"{other / 'result.json'} is damaged .*: remove {other}"):
        benchmark_scores(folder, [own])
