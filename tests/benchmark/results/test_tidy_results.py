"""results.csv holds every number of results.json once, in a long table."""

import csv

from pml_hyperbolic.benchmark.results.row import Row
from pml_hyperbolic.benchmark.results.tidy_results import TIDY_COLUMNS, write_tidy


def row(**changes):
    content = {
        "method": "a",
        "space": "euclidean",
        "fold": 1,
        "seed": 2,
        "epoch": 1,
        "seconds": 1.0,
        "dimension": 4,
        "total_dimension": 4,
        "protocol_hash": "abc",
        "levels": ["leaf", "tree"],
        "test": {
            "precision_at_1": 0.1 + 0.2,
            "recall_at_4": 1.0,
            "r_precision": 0.25,
            "mean_average_precision_at_r": 0.125,
        },
        "test_levels": {"tree": {"precision_at_1": 0.875}},
        "validation": {"precision_at_1": 0.5},
        "train": {"precision_at_1": 0.75},
    }
    return Row.parse({**content, **changes})


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_long_table(tmp_path):
    file = tmp_path / "results.csv"
    write_tidy(file, "bench", [row(), row(method="b, or c", seed=3)])
    lines = read(file)
    assert tuple(lines[0]) == TIDY_COLUMNS
    assert len(lines) == 14
    assert [tuple(line.values())[6:] for line in lines[:7]] == [
        ("train", "leaf", "precision_at_1", "0.75"),
        ("validation", "leaf", "precision_at_1", "0.5"),
        ("test", "leaf", "precision_at_1", "0.30000000000000004"),
        ("test", "leaf", "recall_at_4", "1.0"),
        ("test", "leaf", "r_precision", "0.25"),
        ("test", "leaf", "mean_average_precision_at_r", "0.125"),
        ("test", "tree", "precision_at_1", "0.875"),
    ]
    assert {line["method"] for line in lines} == {"a", "b, or c"}
    first = {name: lines[0][name] for name in TIDY_COLUMNS[:6]}
    assert first == {
        "benchmark": "bench",
        "protocol_hash": "abc",
        "method": "a",
        "fold": "1",
        "seed": "2",
        "space": "euclidean",
    }


def test_levels_are_no_formulas(tmp_path):
    file = tmp_path / "results.csv"
    levels = {"levels": ["leaf", "=1+1"], "test_levels": {"=1+1": {"precision_at_1": 0.875}}}
    write_tidy(file, "x", [row(**levels)])
    assert ("'=1+1", "0.875") in [(line["level"], line["value"]) for line in read(file)]


def test_concatenated_results_are_included(tmp_path):
    file = tmp_path / "results.csv"
    together = {"precision_at_1": 0.25}
    write_tidy(file, "x", [row(concatenated=together, concatenated_levels={"tree": together})])
    found = [(r["level"], r["value"]) for r in read(file) if r["split"] == "concatenated"]
    assert found == [("leaf", "0.25"), ("tree", "0.25")]


def test_of_a_real_benchmark(tiny):
    lines = read(tiny.folder / "results.csv")
    for result in tiny.rows:
        mine = [
            line
            for line in lines
            if (line["method"], line["space"], line["seed"])
            == (result["method"], result["space"], str(result["seed"]))
        ]
        for split in ("train", "validation", "test"):
            found = {
                line["metric"]: float(line["value"]) for line in mine if line["split"] == split
            }
            assert found == result[split]
