"""Folders of runs that earlier versions wrote are read, reported and kept."""

import csv
import json

import pytest

from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.config.yaml_files import dump_yaml
from pml_hyperbolic.benchmark.reporting.report import make_report
from pml_hyperbolic.benchmark.results.finished_run import FinishedRun
from pml_hyperbolic.benchmark.running import parallel
from pml_hyperbolic.benchmark.running.runner import check_benchmark
from pml_hyperbolic.checked_files import read_checked_json

DECLARED = ("search_trials", "flat_twin_of", "different_parameters", "different_search_trials")
SCORED = ("parameters", "geometry", "levels", "test_levels", "train")
# Earlier versions -> the keys that their rows lacked.
VERSIONS = {
    "present": (),
    "without data": ("data",),
    "without declarations": ("data", *DECLARED),
    "without levels and training scores": ("data", *DECLARED, *SCORED),
    "without folds": ("data", *DECLARED, *SCORED, "fold"),
}


def old_row(config, method, seed, data):
    score = 0.5 + 0.125 * seed
    return {
        "method": method,
        "space": "euclidean",
        "fold": 0,
        "seed": seed,
        "epoch": 2,
        "seconds": 1.5,
        "dimension": 8,
        "total_dimension": 8,
        "protocol_hash": config.protocol.hash,
        "data": data,
        "method_hash": config.methods[method].hash,
        "search_trials": None,
        "flat_twin_of": None,
        "different_parameters": False,
        "different_search_trials": False,
        "saturation": {},
        "parameters": {"trunk": 100, "head": 20, "loss": 5},
        "geometry": None,
        "levels": ["digit"],
        "test": {
            "mean_average_precision_at_r": score,
            "precision_at_1": 1.0,
            "r_precision": score,
        },
        "test_levels": {},
        "validation": {"mean_average_precision_at_r": score},
        "train": {"mean_average_precision_at_r": score + 0.125},
    }


@pytest.fixture
def write_old(tmp_path, load):
    """A function that writes a finished benchmark without these keys: its folder and its rows."""

    def write(lacking):
        config = load("methods=[proxy_anchor]")
        data = check_benchmark(config).data
        folder = tmp_path / "runs" / "tiny"
        rows = []
        for seed in config.protocol.seeds:
            run = folder / "proxy_anchor" / f"fold0_seed{seed}"
            run.mkdir(parents=True)
            row = old_row(config, "proxy_anchor", seed, data)
            rows.append({key: value for key, value in row.items() if key not in lacking})
            (run / "result.json").write_text(json.dumps([rows[-1]], indent=2) + "\n")
        identity = {"protocol_hash": config.protocol.hash, "data": data}
        (folder / "benchmark.yaml").write_text(dump_yaml({**config.model_dump(), **identity}))
        return folder, rows

    return write


@pytest.mark.parametrize("version", VERSIONS)
def test_old_runs_are_read_and_reported(write_old, version):
    folder, rows = write_old(VERSIONS[version])
    run = FinishedRun.read(folder / "proxy_anchor" / "fold0_seed1")
    assert run.key == (0, 1)
    assert run.first.plain() == rows[1]
    report = make_report([folder])
    (cells,) = report.tables[0].rows
    # Half of the distance between 50 and 62.5, times Student's t for one degree of freedom.
    assert cells[report.tables[0].header.index("MAP@R")] == "56.2 ± 79.4"
    assert report.records[0]["repetitions"] == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_old_runs_are_kept(write_old, tmp_path, config_file, monkeypatch, capsys, version):
    folder, rows = write_old(VERSIONS[version])
    monkeypatch.setattr(parallel, "execute_run", lambda *args, **kwargs: pytest.fail("ran again"))
    words = ["run", str(config_file), "methods=[proxy_anchor]", "--output", str(tmp_path / "runs")]
    assert main(words) == 0
    assert "2 finished runs" in capsys.readouterr().out
    declared = dict(zip(DECLARED, (None, None, False, False), strict=True))
    expected = [{**row, **declared} for row in rows]
    assert json.loads((folder / "results.json").read_text()) == expected
    for row in expected:
        file = folder / "proxy_anchor" / f"fold0_seed{row['seed']}" / "result.json"
        assert read_checked_json(file) == [row]
    with (folder / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["level"] for line in lines} == {"digit" if "levels" in rows[0] else ""}
    assert {line["fold"] for line in lines} == {"0"}


def test_an_old_run_beside_an_unfinished_one(write_old, tmp_path, config_file, capsys):
    folder, rows = write_old(VERSIONS["without declarations"])
    (folder / "proxy_anchor" / "fold0_seed1" / "result.json").unlink()
    words = ["run", str(config_file), "methods=[proxy_anchor]", "--output", str(tmp_path / "runs")]
    assert main([*words, "--jobs", "1"]) == 0
    assert "1 finished runs" in capsys.readouterr().out
    first, second = json.loads((folder / "results.json").read_text())
    assert first["test"] == rows[0]["test"]
    assert second["seed"] == 1
    assert list(second)[:5] == ["method", "space", "fold", "seed", "epoch"]
