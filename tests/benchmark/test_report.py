"""Reports: one protocol a table, means over seeds, nothing left out in silence."""

import copy
import json

import pytest

from pml_hyperbolic.benchmark.errors import InputError
from pml_hyperbolic.benchmark.report import read_results, results_table


def row(method="a", space="euclidean", seed=0, score=0.5, **changes):
    metrics = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    return {
        "method": method,
        "space": space,
        "fold": 0,
        "seed": seed,
        "epoch": seed + 1,
        "seconds": 2.0,
        "dimension": 4,
        "total_dimension": 8,
        "protocol_hash": "aaa",
        "test": dict.fromkeys(metrics, score),
        "validation": dict.fromkeys(metrics, 0.1),
        **changes,
    }


def folder(path, rows):
    path.mkdir()
    (path / "results.json").write_text(json.dumps(rows))
    return path


def test_rows_of_several_folders(tmp_path):
    first = folder(tmp_path / "one", [row("a")])
    second = folder(tmp_path / "two", [row("b")])
    assert [r["method"] for r in read_results([first, second])] == ["a", "b"]


def test_different_protocols_are_refused(tmp_path, refused):
    first = folder(tmp_path / "one", [row("a")])
    second = folder(tmp_path / "two", [row("b", protocol_hash="bbb")])
    line = refused("report", first, second)
    assert "aaa" in line
    assert "bbb" in line
    assert "different protocols" in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no readable results.json"),
        ("[{", "no readable results.json"),
        ("{}", "no readable results.json"),
        ('[{"method": 1}]', "no readable results.json"),
        ("[]", "no run of these benchmarks is finished"),
    ],
)
def test_unreadable_results(tmp_path, content, message):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_results([tmp_path])


def test_the_same_run_twice_is_refused(tmp_path):
    path = folder(tmp_path / "one", [row()])
    with pytest.raises(
        InputError, match=r"a \(euclidean, fold 0, seed 0\) is in the results twice"
    ):
        read_results([path, path])


def test_table():
    rows = [row(seed=0, score=0.5), row(seed=1, score=0.7), row("bb", "hyperbolic", 0, 0.25)]
    lines = results_table(rows).splitlines()
    assert lines[0].split() == [
        "method",
        "space",
        "dim",
        "R@1",
        "R-Precision",
        "MAP@R",
        "epoch",
        "seconds",
    ]
    # Student's t quantile for one degree of freedom is 12.706.
    assert lines[2].split("  ")[0] == "a"
    assert lines[2].count("60.0 ± 127.1") == 3
    assert "4 of 8" in lines[2]
    assert "1 (1-2)" in lines[2]
    assert lines[3].count("25.0") == 3
    assert "±" not in lines[3]
    assert "not all methods have the same number of seeds" in lines[-1]
    assert "over 1 or 2 seeds" in lines[-1]


def test_markdown():
    lines = results_table([row()], markdown=True).splitlines()
    assert lines[0].startswith("| method | space | dim |")
    assert set(lines[1]) <= set("|- ")
    assert len({line.count("|") for line in lines[:3]}) == 1
    assert "one seed" in lines[-1]


def test_different_dimensions_are_said():
    rows = [row(), row("b", total_dimension=16)]
    assert "total dimensions differ" in results_table(rows)
    assert "total dimensions differ" not in results_table([row(), row("b")])


def test_validation_scores_do_not_matter():
    rows = [row()]
    other = copy.deepcopy(rows)
    other[0]["validation"] = dict.fromkeys(other[0]["validation"], 0.9)
    assert results_table(rows) == results_table(other)
