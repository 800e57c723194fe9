"""Tables of a report: means, intervals and verdicts, from made-up runs."""

import itertools

import pytest
import yaml
from scipy import stats

from pml_hyperbolic.benchmark.reporting.report import make_report
from pml_hyperbolic.benchmark.reporting.tables import VALIDATION_TITLE
from pml_hyperbolic.benchmark.results.metric_names import MAP_AT_R


def test_comparison_table(bench, table_of):
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


def test_means_and_intervals_over_seeds(tmp_path, write_run, table_of):
    for seed, score in enumerate((0.5, 0.75)):
        write_run("a", [score], seed=seed, total_dimension=8)
    (row,) = table_of(make_report([tmp_path / "bench"]), "Comparison")
    # Student's t quantile for one degree of freedom is 12.706; half of the distance is 12.5.
    assert row["MAP@R"] == row["R-Precision"] == "62.5 ± 158.8"
    assert row["R@1"] == "31.2 ± 79.4"
    assert row["dim"] == "4 of 8"
    assert row["spread"] == "17.7"


def test_one_run(tmp_path, write_run, table_of):
    write_run("a", [0.5])
    write_run("b", [0.75])
    report = make_report([tmp_path / "bench"])
    a, b = table_of(report, "Comparison")
    assert (a["MAP@R"], a["spread"], a["train - test"]) == ("50.0", "-", "-")
    assert (b["difference"], b["p (Holm)"], b["verdict"]) == ("+25.0", "-", "not tested")
    assert any("one seed" in note for note in report.notes)
    assert any("Not tested" in note for note in report.notes)


def test_published_beside_measured(bench, table_of):
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
    assert report.records[1][f"published_{MAP_AT_R}"] == 0.5


def test_recall_levels_and_concatenated(tmp_path, write_run, table_of):
    test = {"precision_at_1": 0.5, "r_precision": 0.5, MAP_AT_R: 0.5}
    for seed in (0, 1):
        for fold in (0, 1):
            write_run(
                "a",
                seed=seed,
                fold=fold,
                test={**test, "recall_at_1": 0.5, "recall_at_10": 0.875, "recall_at_2": 0.75},
                test_levels={"coarse": {**test, MAP_AT_R: 0.25}},
                concatenated={**test, MAP_AT_R: 0.625 + seed / 8},
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
    assert record[f"coarse_{MAP_AT_R}"] == 0.25
    assert record[f"concatenated_{MAP_AT_R}"] == pytest.approx(0.6875)


def test_validation_scores_have_a_table_of_their_own(tmp_path, write_run, table_of):
    # Test scores say the opposite.
    scores = {"a": (0.3, 0.9), "b": (0.2, 0.1), "twin": (0.4, 0.1)}
    for (method, (validation, test)), seed in itertools.product(scores.items(), range(3)):
        twin = {"flat_twin_of": "b"} if method == "twin" else {}
        section = {MAP_AT_R: validation + 0.01 * seed * (method == "b")}
        write_run(method, [test] * 9, seed=seed, validation=section, **twin)
    report = make_report([tmp_path / "bench"])
    a, b, twin = table_of(report, VALIDATION_TITLE)
    assert (a["MAP@R"], a["R@1"], a["verdict"]) == ("30.0 ± 0.0", "-", "-")
    # A mean of -9 points with a standard error of 1 / sqrt(3), and t's quantile of 2 degrees.
    assert b["difference"] == "-9.0 ± 2.5"
    assert b["p (Holm)"] == f"{2 * stats.t.sf(9 * 3**0.5, 2):.3f}"
    assert b["verdict"] == "worse"
    assert (twin["difference"], twin["verdict"]) == ("+10.0", "not tested")


def test_runs_without_validation_scores_have_no_such_table(tmp_path, write_run, table_of):
    write_run("a", validation={})
    assert VALIDATION_TITLE not in [t.title for t in make_report([tmp_path / "bench"]).tables]
    write_run("b")
    (row,) = table_of(make_report([tmp_path / "bench"]), VALIDATION_TITLE)
    assert (row["method"], row["difference"]) == ("b", "-")
