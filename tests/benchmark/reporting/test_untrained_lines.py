"""The untrained networks stand in the main table, and methods below them are marked."""

import csv

import pytest

from pml_hyperbolic.benchmark.reporting.report import make_report
from pml_hyperbolic.benchmark.reporting.report_formats import to_csv, to_latex
from pml_hyperbolic.benchmark.results.metric_names import METRICS
from pml_hyperbolic.benchmark.results.untrained_scores import UntrainedScores, write_untrained


@pytest.fixture
def bench_with_untrained(tmp_path, write_run):
    """Methods at 40% and 60%, an untrained trunk at 50% and an untrained head at 30%."""
    write_run("low", (0.4, 0.4))
    write_run("high", (0.6, 0.6))
    lines = [
        UntrainedScores(name=name, fold=fold, dimension=size, test=dict.fromkeys(METRICS, score))
        for name, size, scores in (
            ("untrained trunk", 512, (0.4, 0.6)),
            ("untrained head", 4, (0.3, 0.3)),
        )
        for fold, score in enumerate(scores)
    ]
    write_untrained(tmp_path / "bench" / "untrained.json", lines)
    return tmp_path / "bench"


def test_lines_stand_in_the_main_table(bench_with_untrained, table_of):
    report = make_report([bench_with_untrained])
    rows = table_of(report, "Comparison")
    assert sorted(row["method"] for row in rows[:2]) == ["high", "low †"]
    trunk, head = rows[2:]
    assert (trunk["method"], trunk["dim"], trunk["MAP@R"]) == ("untrained trunk", "512", "50.0")
    assert (head["method"], head["dim"], head["MAP@R"]) == ("untrained head", "4", "30.0")
    note = next(note for note in report.notes if note.startswith("†"))
    assert "below the untrained trunk (50.0% MAP@R at 512 dimensions) stay low (euclidean)" in note
    assert "untrained head (" not in note
    assert not any("are missing" in note for note in report.notes)


def test_lines_of_every_seed_have_intervals(bench_with_untrained, table_of):
    lines = [
        UntrainedScores(
            name="untrained head", fold=fold, seed=seed, dimension=4, test=dict.fromkeys(METRICS, s)
        )
        for seed, scores in enumerate(((0.2, 0.4), (0.4, 0.6)))
        for fold, s in enumerate(scores)
    ]
    assert "runs of the first seed start" in " ".join(make_report([bench_with_untrained]).notes)
    write_untrained(bench_with_untrained / "untrained.json", lines)
    report = make_report([bench_with_untrained])
    (row,) = [row for row in table_of(report, "Comparison") if row["method"] == "untrained head"]
    # Means of 0.3 and 0.5: Student's t of one degree of freedom times 0.1.
    assert row["MAP@R"] == "40.0 ± 127.1"
    assert "runs of each seed start" in " ".join(report.notes)
    record = list(csv.DictReader(to_csv(report).splitlines()))[-1]
    assert float(record["mean_average_precision_at_r"]) == pytest.approx(0.4)
    assert record["repetitions"] == "2"


def test_csv_and_latex(bench_with_untrained):
    report = make_report([bench_with_untrained])
    rows = {row["method"]: row for row in csv.DictReader(to_csv(report).splitlines())}
    assert rows["low"]["below_untrained"] == "untrained trunk"
    assert rows["high"]["below_untrained"] == ""
    assert float(rows["untrained trunk"]["mean_average_precision_at_r"]) == 0.5
    assert rows["untrained trunk"]["runs"] == ""
    text = to_latex(report)
    assert text.isascii()
    assert r"low $\dagger$" in text


def test_missing_and_damaged_lines_are_said(bench_with_untrained):
    file = bench_with_untrained / "untrained.json"
    file.write_text("[")
    assert any("untrained.json is damaged" in note for note in make_report([file.parent]).notes)
    file.unlink()
    (note,) = [note for note in make_report([file.parent]).notes if "are missing" in note]
    assert "`pml-hyperbolic run` with the same config adds them" in note
