"""Runs are found at any level of their folder, once each and in order."""

import json

import pytest
import yaml

from pml_hyperbolic.benchmark.reporting.benchmark_results import BenchmarkResults, bare_name
from pml_hyperbolic.errors import InputError


@pytest.fixture
def bench(tmp_path, write_run):
    """Two methods with two seeds; the config lists them in reverse alphabetical order."""
    for method in ("a", "b"):
        for seed in (10, 9):
            write_run(method, seed=seed)
    config = {"methods": {"b": {"flat_twin_of": "x"}, "a": {}}}
    (tmp_path / "bench" / "benchmark.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return tmp_path / "bench"


def names(results):
    return [(run.method, *run.key) for run in results.runs]


def test_order_of_the_config_then_seeds_as_numbers(bench):
    results = BenchmarkResults.read([bench])
    assert names(results) == [("b", 0, 9), ("b", 0, 10), ("a", 0, 9), ("a", 0, 10)]
    assert results.methods == ["b", "a"]
    assert len(results.of_method("a")) == 2


def test_folders_of_any_level(bench):
    results = BenchmarkResults.read([bench / "a", bench / "b" / "fold0_seed9"])
    assert names(results) == [("a", 0, 9), ("a", 0, 10), ("b", 0, 9)]
    # The config of the benchmark is found from there.
    assert results.setting("b", "flat_twin_of") == "x"


def test_runs_without_folds_are_found(bench):
    folder = bench / "c" / "seed4"
    folder.mkdir(parents=True)
    (row,) = json.loads((bench / "a" / "fold0_seed9" / "result.json").read_text())
    del row["fold"]
    (folder / "result.json").write_text(json.dumps([{**row, "method": "c", "seed": 4}]))
    assert ("c", 0, 4) in names(BenchmarkResults.read([bench]))


def test_settings_in_rows_take_precedence(bench, write_run):
    write_run("c", flat_twin_of="b")
    results = BenchmarkResults.read([bench])
    assert results.setting("c", "flat_twin_of") == "b"
    assert results.setting("b", "flat_twin_of") == "x"
    assert results.setting("a", "flat_twin_of") is None


def test_a_run_given_twice_is_refused(bench):
    with pytest.raises(InputError, match=r"b, fold 0, seed 9 is given twice.*leave one out"):
        BenchmarkResults.read([bench, bench / "b"])


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no finished run"):
        BenchmarkResults.read([tmp_path])


def test_a_name_stands_in_front_of_methods(bench, write_run):
    write_run("c", flat_twin_of="b")
    results = BenchmarkResults.read([("first", bench), ("second", bench / "b")])
    assert set(results.methods) >= {"first:b", "first:c", "second:b"}
    assert results.setting("first:c", "flat_twin_of") == "first:b"
    assert results.twins["first:c"] == "first:b"
    assert {bare_name(method) for method in results.methods} >= {"b", "c"}
    # The rows on disk keep their names.
    assert "b" in BenchmarkResults.read([bench]).methods


def test_unfinished_runs_are_known(bench):
    begun = bench / "b" / "fold0_seed77"
    begun.mkdir()
    (begun / "config.yaml").write_text("name: bench")
    assert BenchmarkResults.read([bench]).unfinished == [begun]
