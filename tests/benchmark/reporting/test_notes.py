"""Notes say how to read the tables, and what could not be compared."""

import itertools

import pytest

from pml_hyperbolic.benchmark.reporting.report import make_report


def test_the_notes_say_how_to_read_it(bench):
    report = make_report([bench])
    text = " ".join(report.notes)
    assert "mean ± 95% t-interval over 3 seeds" in text
    assert "minus that of base (euclidean), the first Euclidean method" in text
    assert "bootstrap over seeds and queries" in text
    assert "Holm's correction over 1 comparison, and separately over 1 of flat twins;" in text
    assert "minus that of hyp (hyperbolic), as requested" in " ".join(
        make_report([bench], baseline="hyp").notes
    )


def test_missing_queries_are_noted(bench):
    (bench / "hyp" / "fold0_seed1" / "queries.npz").unlink()
    notes = " ".join(make_report([bench]).notes)
    assert "Compared over seeds only" in notes
    assert "(queries.npz): hyp (hyperbolic)." in notes


def test_runs_in_common_are_noted(bench, write_run):
    write_run("zz", [0.5] * 60, seed=7)
    (bench / "hyp" / "fold0_seed1" / "result.json").unlink()
    notes = " ".join(make_report([bench], allowed=["seeds"]).notes)
    assert (
        "Compared only on the runs that they share with the baseline: hyp (hyperbolic) (2)."
        in notes
    )
    assert "they share no fold and seed with the baseline: zz (euclidean)." in notes
    assert "Check overridden (seeds)" in notes


@pytest.mark.parametrize(
    ("folds", "seeds", "words"),
    [
        ((0, 1), (0, 1, 2), "over 3 seeds, each the mean of its 2 folds"),
        ((0, 1, 2), (0,), "over 3 folds of one seed"),
    ],
)
def test_folds_are_noted(tmp_path, write_run, folds, seeds, words):
    for fold in folds:
        for seed in seeds:
            write_run("a", [0.5], fold=fold, seed=seed)
    assert words in make_report([tmp_path / "bench"]).notes[0]


def test_folds_of_one_seed_are_not_tested(tmp_path, write_run, table_of):
    for fold, method in itertools.product(range(3), "ab"):
        write_run(method, [0.5 + 0.1 * (method == "b")] * 9, fold=fold)
    report = make_report([tmp_path / "bench"])
    _, b = table_of(report, "Comparison")
    assert (b["difference"], b["p (Holm)"], b["verdict"]) == ("+10.0", "-", "not tested")
    notes = " ".join(report.notes)
    assert "folds train on overlapping classes" in notes
    assert "bootstrap" not in notes


def test_different_dimensions_are_noted(bench, write_run):
    assert "Total dimensions differ" not in " ".join(make_report([bench]).notes)
    for seed in range(3):
        write_run("wide", [0.5] * 60, seed=seed, total_dimension=16)
    assert "Total dimensions differ" in " ".join(make_report([bench]).notes)
