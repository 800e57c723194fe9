"""Reports: what a reader needs for a verdict, nothing left out in silence."""

import itertools
import math

import numpy as np
import pytest
import yaml
from scipy import stats

from pml_hyperbolic.benchmark.reporting.report import VALIDATION_TITLE, make_report
from pml_hyperbolic.errors import InputError

METRIC = "mean_average_precision_at_r"


def columns(table):
    """A table as rows by column."""
    return [dict(zip(table.header, cells, strict=True)) for cells in table.rows]


def table_of(report, title):
    (table,) = [table for table in report.tables if table.title == title]
    return columns(table)


@pytest.fixture
def bench(tmp_path, write_run):
    """A Euclidean baseline, a hyperbolic method with its flat twin, three seeds each."""
    difficulty = np.random.default_rng(0).uniform(0.2, 0.6, 60)
    for method, gain in (("base", 0), ("hyp", 0.2), ("hyp_flat", 0.19)):
        for seed in range(3):
            generator = np.random.default_rng([len(method), seed])
            scores = difficulty + gain + generator.normal(0, 0.02, 60)
            mean = float(scores.mean())
            changes = {"flat_twin_of": "hyp"} if method == "hyp_flat" else {}
            write_run(
                method,
                scores,
                seed=seed,
                space="euclidean" if method == "base" else "hyperbolic",
                train={METRIC: mean + 0.25},
                **changes,
            )
    return tmp_path / "bench"


def test_comparison_table(bench):
    report = make_report([bench])
    base, hyp, flat = table_of(report, "Comparison")
    assert [row["method"] for row in (base, hyp, flat)] == ["base", "hyp", "hyp_flat"]
    assert (base["difference"], base["p (Holm)"], base["verdict"]) == ("-", "-", "-")
    assert hyp["verdict"] == flat["verdict"] == "better"
    assert hyp["difference"].startswith("+20.")
    assert " ± " in hyp["difference"]
    assert hyp["train - test"] == "+25.0 ± 0.0"
    assert float(hyp["spread"]) < 1
    assert (hyp["epoch"], hyp["seconds"], hyp["dim"]) == ("2 (1-3)", "2.0", "4")


def test_means_and_intervals_over_seeds(tmp_path, write_run):
    for seed, score in enumerate((0.5, 0.75)):
        write_run("a", [score], seed=seed, total_dimension=8)
    (row,) = table_of(make_report([tmp_path / "bench"]), "Comparison")
    # Student's t quantile for one degree of freedom is 12.706; half of the distance is 12.5.
    assert row["MAP@R"] == row["R-Precision"] == "62.5 ± 158.8"
    assert row["R@1"] == "31.2 ± 79.4"
    assert row["dim"] == "4 of 8"
    assert row["spread"] == "17.7"


def test_one_run(tmp_path, write_run):
    write_run("a", [0.5])
    write_run("b", [0.75])
    report = make_report([tmp_path / "bench"])
    a, b = table_of(report, "Comparison")
    assert (a["MAP@R"], a["spread"], a["train - test"]) == ("50.0", "-", "-")
    assert (b["difference"], b["p (Holm)"], b["verdict"]) == ("+25.0", "-", "not tested")
    assert any("one seed" in note for note in report.notes)
    assert any("Not tested" in note for note in report.notes)


def test_the_notes_say_how_to_read_it(bench):
    report = make_report([bench])
    text = " ".join(report.notes)
    assert "mean ± 95% t-interval over 3 seeds" in text
    assert "less that of base (euclidean), the first Euclidean method" in text
    assert "bootstrap over seeds and queries" in text
    assert "Holm's correction over 1 comparison, of flat twins over 1 of their own;" in text
    assert "less that of hyp (hyperbolic), as asked" in " ".join(
        make_report([bench], baseline="hyp").notes
    )


def test_missing_queries_are_said(bench):
    (bench / "hyp" / "fold0_seed1" / "queries.npz").unlink()
    notes = " ".join(make_report([bench]).notes)
    assert "Compared by seeds alone" in notes
    assert "(queries.npz): hyp (hyperbolic)." in notes


def test_runs_in_common_are_said(bench, write_run):
    write_run("zz", [0.5] * 60, seed=7)
    (bench / "hyp" / "fold0_seed1" / "result.json").unlink()
    notes = " ".join(make_report([bench], allowed=["seeds"]).notes)
    assert "Compared on the runs in common only: hyp (hyperbolic) 2." in notes
    assert "no fold and seed is the baseline's: zz (euclidean)" in notes
    assert "Check overridden (seeds)" in notes


@pytest.mark.parametrize(
    ("folds", "seeds", "words"),
    [
        ((0, 1), (0, 1, 2), "over 3 seeds, each the mean of its 2 folds"),
        ((0, 1, 2), (0,), "over 3 folds of one seed"),
    ],
)
def test_folds_are_said(tmp_path, write_run, folds, seeds, words):
    for fold in folds:
        for seed in seeds:
            write_run("a", [0.5], fold=fold, seed=seed)
    assert words in make_report([tmp_path / "bench"]).notes[0]


def test_folds_of_one_seed_are_not_tested(tmp_path, write_run):
    for fold, method in itertools.product(range(3), "ab"):
        write_run(method, [0.5 + 0.1 * (method == "b")] * 9, fold=fold)
    report = make_report([tmp_path / "bench"])
    _, b = table_of(report, "Comparison")
    assert (b["difference"], b["p (Holm)"], b["verdict"]) == ("+10.0", "-", "not tested")
    notes = " ".join(report.notes)
    assert "folds train on overlapping classes" in notes
    assert "bootstrap" not in notes


def test_curvature_control(bench):
    (sentence,) = make_report([bench]).findings
    assert sentence.startswith("Curvature control, hyp (hyperbolic): gains +20.")
    assert "points of MAP@R on base, of which its flat twin hyp_flat has +19." in sentence
    assert "% of the gain (95% interval " in sentence
    assert "curved less flat +" in sentence
    assert sentence.endswith((": better.", ": no difference shown."))


def test_curvature_control_without_a_gain(bench):
    (sentence,) = make_report([bench], baseline="hyp_flat").findings
    assert "gains" not in sentence
    assert "curved less flat +" in sentence


def test_no_gain_is_said(tmp_path, write_run):
    for seed in range(3):
        write_run("a", [0.5, 0.25 + seed / 4], seed=seed)
        for method, changes in (("h", {}), ("h_flat", {"flat_twin_of": "h"})):
            scores = [0.5, 0.75 - seed / 4]
            write_run(method, scores, seed=seed, space="hyperbolic", **changes)
    (sentence,) = make_report([tmp_path / "bench"]).findings
    assert "no gain on a is shown" in sentence
    assert "+0.0 ± 0.0 points, p 1.000: no difference shown." in sentence


def test_a_twin_that_cannot_be_compared_is_said(bench):
    (bench / "hyp" / "fold0_seed1" / "queries.npz").unlink()
    (sentence,) = make_report([bench]).findings
    assert "hyp_flat cannot be compared with it" in sentence
    for folder in (bench / "hyp").iterdir():
        (folder / "result.json").unlink()
    (sentence,) = make_report([bench]).findings
    assert "(hyp is not among these runs)" in sentence


def test_published_beside_measured(bench):
    published = [
        {"method": "hyp", "metric": "MAP@R", "value": 50.0, "source": "Table 1", "space": None},
        {"method": "base", "metric": "R@8", "value": 70.0, "source": "Table 2"},
        {"method": "absent", "metric": "R@1", "value": 80.0, "source": "Table 3"},
    ]
    (bench / "benchmark.yaml").write_text(yaml.safe_dump({"published": published}))
    report = make_report([bench])
    hyp, base, absent = table_of(report, "Published and measured")
    measured = table_of(report, "Comparison")[1]["MAP@R"]
    assert (hyp["published"], hyp["measured"], hyp["source"]) == ("50.0", measured, "Table 1")
    assert float(hyp["difference"]) == pytest.approx(float(measured.split()[0]) - 50, abs=0.1)
    assert (base["metric"], base["measured"], base["difference"]) == ("R@8", "not measured", "-")
    assert (absent["method"], absent["space"], absent["measured"]) == (
        "absent",
        "-",
        "not measured",
    )
    assert report.records[1][f"published_{METRIC}"] == 0.5


def test_the_configs_baseline(bench):
    (bench / "benchmark.yaml").write_text(yaml.safe_dump({"baseline": "hyp_flat"}))
    assert "less that of hyp_flat (hyperbolic), the config's baseline" in " ".join(
        make_report([bench]).notes
    )


def test_recall_levels_and_concatenated(tmp_path, write_run):
    test = {"precision_at_1": 0.5, "r_precision": 0.5, METRIC: 0.5}
    for seed in (0, 1):
        for fold in (0, 1):
            write_run(
                "a",
                seed=seed,
                fold=fold,
                test={**test, "recall_at_1": 0.5, "recall_at_10": 0.875, "recall_at_2": 0.75},
                test_levels={"coarse": {**test, METRIC: 0.25}},
                concatenated={**test, METRIC: 0.625 + seed / 8},
            )
        write_run("b", seed=seed, fold=0, test=test)
        write_run("b", seed=seed, fold=1, test=test)
    report = make_report([tmp_path / "bench"])
    recall = report.tables[1]
    assert recall.header == ["method", "space", "R@2", "R@10"]
    assert recall.rows[0][2:] == ["75.0 ± 0.0", "87.5 ± 0.0"]
    assert recall.rows[1][2:] == ["-", "-"]
    (concatenated,) = table_of(report, "Embeddings of all folds concatenated")
    assert concatenated["MAP@R"] == "68.8 ± 79.4"
    coarse, unknown = table_of(report, "Levels of the labels")
    assert (coarse["level"], coarse["method"], coarse["MAP@R"]) == ("coarse", "a", "25.0 ± 0.0")
    assert (unknown["method"], unknown["MAP@R"]) == ("b", "-")
    record = report.records[0]
    assert record["recall_at_10"] == 0.875
    assert record[f"coarse_{METRIC}"] == 0.25
    assert record[f"concatenated_{METRIC}"] == pytest.approx(0.6875)


def test_records(bench):
    base, hyp, _ = make_report([bench]).records
    assert math.isnan(base[f"{METRIC}_difference"])
    assert hyp["baseline"] == "base"
    assert hyp[f"{METRIC}_verdict"] == "better"
    assert hyp[f"{METRIC}_difference"] == pytest.approx(hyp[METRIC] - base[METRIC], abs=1e-6)
    assert 0 <= hyp[f"{METRIC}_p"] <= hyp[f"{METRIC}_p_holm"] < 0.05
    assert hyp["train_test_gap"] == pytest.approx(0.25)
    assert (hyp["runs"], hyp["repetitions"]) == (3, 3)


def test_different_dimensions_are_said(bench, write_run):
    assert "Total dimensions differ" not in " ".join(make_report([bench]).notes)
    for seed in range(3):
        write_run("wide", [0.5] * 60, seed=seed, total_dimension=16)
    assert "Total dimensions differ" in " ".join(make_report([bench]).notes)


def test_validation_scores_do_not_matter(tmp_path, write_run):
    for benchmark, score in (("one", 0.1), ("two", 0.9)):
        for seed in (0, 1):
            write_run(benchmark=benchmark, seed=seed, validation={METRIC: score})
    one, two = (make_report([tmp_path / name]) for name in ("one", "two"))
    assert table_of(one, VALIDATION_TITLE) != table_of(two, VALIDATION_TITLE)
    assert one.tables[:-1] == two.tables[:-1]
    assert (one.findings, one.notes, one.records) == (two.findings, two.notes, two.records)


def test_validation_scores_have_a_table_of_their_own(tmp_path, write_run):
    # Test scores say the opposite.
    scores = {"a": (0.3, 0.9), "b": (0.2, 0.1), "twin": (0.4, 0.1)}
    for (method, (validation, test)), seed in itertools.product(scores.items(), range(3)):
        twin = {"flat_twin_of": "b"} if method == "twin" else {}
        section = {METRIC: validation + 0.01 * seed * (method == "b")}
        write_run(method, [test] * 9, seed=seed, validation=section, **twin)
    report = make_report([tmp_path / "bench"])
    a, b, twin = table_of(report, VALIDATION_TITLE)
    assert (a["MAP@R"], a["R@1"], a["verdict"]) == ("30.0 ± 0.0", "-", "-")
    # A mean of -9 points with a standard error of 1 / sqrt(3), and t's quantile of 2 degrees.
    assert b["difference"] == "-9.0 ± 2.5"
    assert b["p (Holm)"] == f"{2 * stats.t.sf(9 * 3**0.5, 2):.3f}"
    assert b["verdict"] == "worse"
    assert (twin["difference"], twin["verdict"]) == ("+10.0", "not tested")


def test_runs_without_validation_scores_have_no_such_table(tmp_path, write_run):
    write_run("a", validation={})
    assert VALIDATION_TITLE not in [t.title for t in make_report([tmp_path / "bench"]).tables]
    write_run("b")
    (row,) = table_of(make_report([tmp_path / "bench"]), VALIDATION_TITLE)
    assert (row["method"], row["difference"]) == ("b", "-")


def test_several_folders(tmp_path, write_run):
    write_run("a", benchmark="one")
    write_run("b", benchmark="two")
    report = make_report([tmp_path / "one", tmp_path / "two"])
    assert [row["method"] for row in table_of(report, "Comparison")] == ["a", "b"]


def test_nothing_to_report(tmp_path):
    with pytest.raises(InputError, match="no finished run"):
        make_report([tmp_path])
