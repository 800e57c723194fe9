"""Notes say how to read the tables, and what could not be compared."""

import itertools
import shutil

import pytest
import yaml

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


def written_config(bench, head_lr, **methods):
    """Put a benchmark.yaml beside the runs of ``bench``."""
    settings = {
        "base": {"loss_lr": 0.1},
        "hyp": {"loss_lr": None, "regularizer": {"lr": 0.005}},
        "hyp_flat": {"flat_twin_of": "hyp"},
    }
    content = {
        "name": "bench",
        "protocol": {"optimizer": {"head_lr": head_lr, "trunk_lr": 0.001}},
        "methods": {name: {**said, **methods.get(name, {})} for name, said in settings.items()},
    }
    (bench / "benchmark.yaml").write_text(yaml.safe_dump(content))


def test_one_rate_for_two_geometries_is_noted(bench):
    assert "One head_lr" not in " ".join(make_report([bench]).notes)
    written_config(bench, 0.002)
    report = make_report([bench])
    (note,) = [note for note in report.notes if note.startswith("One head_lr")]
    assert note.startswith(
        "One head_lr (0.002) is shared by methods that are ranked by cosine (base) and in a ball "
        "(hyp, hyp_flat), whose best rates differ:"
    )
    assert "Learning rates" not in {table.title for table in report.tables}
    shutil.rmtree(bench / "base")
    assert "One head_lr" not in " ".join(make_report([bench]).notes)


def test_tuned_rates_are_shown(bench, table_of):
    found = {"search_trials": 8, "tuned": {"at_edge": ["head_lr"]}}
    rates = {"base": 1.5e-4, "hyp": 2e-5, "hyp_flat": 2e-5}
    written_config(bench, "tuned", **{name: {**found, "head_lr": r} for name, r in rates.items()})
    report = make_report([bench])
    base, hyp, flat = table_of(report, "Learning rates")
    assert base == {
        "method": "base",
        "head_lr": "0.00015",
        "trunk_lr": "0.001",
        "loss_lr": "0.1",
        "regularizer.lr": "-",
        "found as": "best of 8 trials",
        "at the edge": "head_lr",
    }
    assert (hyp["head_lr"], hyp["loss_lr"], hyp["regularizer.lr"]) == ("2e-05", "-", "0.005")
    assert flat["head_lr"] == "2e-05"
    notes = report.notes
    assert (
        "Learning rates (head_lr): tuned for each method, in the same range and with the same "
        "number of trials." in notes
    )
    assert (
        "hyp: the search chose head_lr = 2e-05, at the edge of what it tried: there may be a "
        "better value beyond." in notes
    )
    assert not any("hyp_flat: the search" in note or "One head_lr" in note for note in notes)


def test_rates_that_were_not_searched_are_not_called_tuned(bench, table_of):
    written_config(
        bench, "tuned", base={"head_lr": 1e-4, "search_trials": 8}, hyp={"head_lr": 1e-5}
    )
    report = make_report([bench], allowed=["trials"])
    assert [line["found as"] for line in table_of(report, "Learning rates")] == [
        "best of 8 trials",
        *["stated, not searched"] * 2,
    ]
    assert (
        "Learning rates (head_lr): each method's own, but stated without a search for hyp, "
        "hyp_flat." in report.notes
    )


def test_rates_of_unequal_searches_are_not_called_equally_tuned(bench):
    found = {"base": 8, "hyp": 20, "hyp_flat": 20}
    written_config(
        bench,
        "tuned",
        **{name: {"head_lr": 1e-4, "search_trials": n} for name, n in found.items()},
    )
    report = make_report([bench], allowed=["trials"])
    (note,) = [note for note in report.notes if note.startswith("Learning rates")]
    assert note == (
        "Learning rates (head_lr): tuned for each method, but with different numbers of trials "
        "(base 8, hyp 20, hyp_flat 20)."
    )


def test_levels_that_are_not_ranked_in_whole_are_noted(tmp_path, write_run):
    levels = {
        "family": {"precision_at_1": 0.9, "r_precision": 0.6, "mean_average_precision_at_r": 0.5},
        "order": {"precision_at_1": 0.95},
    }
    for method in "ab":
        write_run(method, [0.5], levels=["class", *levels], test_levels=levels)
    (note,) = [n for n in make_report([tmp_path / "bench"]).notes if "R-Precision and MAP@R" in n]
    assert note.startswith("R-Precision and MAP@R are not given on the level order: ")
