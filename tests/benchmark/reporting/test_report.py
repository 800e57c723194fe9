"""Reports leave out nothing that a reader needs for a verdict."""

import pytest
import yaml

from pml_hyperbolic.benchmark.reporting.report import make_report
from pml_hyperbolic.benchmark.reporting.tables import VALIDATION_TITLE
from pml_hyperbolic.benchmark.results.metric_names import MAP_AT_R
from pml_hyperbolic.errors import InputError


def test_the_configs_baseline(bench):
    (bench / "benchmark.yaml").write_text(yaml.safe_dump({"baseline": "hyp_flat"}))
    assert "minus that of hyp_flat (hyperbolic), the config's baseline" in " ".join(
        make_report([bench]).notes
    )


def test_validation_scores_do_not_matter(tmp_path, write_run, table_of):
    for benchmark, score in (("one", 0.1), ("two", 0.9)):
        for seed in (0, 1):
            write_run(benchmark=benchmark, seed=seed, validation={MAP_AT_R: score})
    one, two = (make_report([tmp_path / name]) for name in ("one", "two"))
    assert table_of(one, VALIDATION_TITLE) != table_of(two, VALIDATION_TITLE)
    assert one.tables[:-1] == two.tables[:-1]
    assert (one.findings, one.notes, one.records) == (two.findings, two.notes, two.records)


def test_several_folders(tmp_path, write_run, table_of):
    write_run("a", benchmark="one")
    write_run("b", benchmark="two")
    report = make_report([tmp_path / "one", tmp_path / "two"])
    assert [row["method"] for row in table_of(report, "Comparison")] == ["a", "b"]


def test_nothing_to_report(tmp_path):
    with pytest.raises(InputError, match="no finished run"):
        make_report([tmp_path])
