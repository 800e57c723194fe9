"""Geometry and hierarchy stand in every report, or a line says why not."""

import pytest

from pml_hyperbolic.benchmark.reporting.report import make_report
from pml_hyperbolic.benchmark.reporting.report_formats import to_latex, to_markdown, to_text
from pml_hyperbolic.benchmark.results.run_measures import (
    CLASS_MEANS,
    GeometryMeasures,
    HierarchyMeasure,
    RunMeasures,
    SpaceMeasures,
    write_measures,
)

GEOMETRY = {"c": 0.1, "clip_radius": 2.3, "inputs": "tangent"}
SATURATED = GeometryMeasures(
    saturation=1.0,
    mean_radius=2.3,
    radius_spread=0.0,
    cosine_agreement=1.0,
    neighbors=10,
    relative_delta=0.3,
    suggested_c=0.2,
    starts_inside=True,
)


@pytest.fixture
def measured(tmp_path, write_run):
    """A saturated method over two seeds whose purity is 0.6 and 0.8."""
    for seed, purity in enumerate((0.6, 0.8)):
        folder = write_run("hyp", seed=seed, space="hyperbolic", geometry=GEOMETRY)
        measure = HierarchyMeasure(value=purity, random_mean=0.25, random_low=0.2, random_high=0.3)
        space = SpaceMeasures(
            geometry=SATURATED, trees={CLASS_MEANS: {"dendrogram_purity/family": measure}}
        )
        write_measures(folder / "measures.json", RunMeasures(spaces={"hyperbolic": space}))
    return tmp_path / "bench"


def test_a_saturated_method_gets_the_sentence_first(measured):
    report = make_report([measured])
    assert "this ranking is the cosine ranking" in report.geometry.sentences[0]
    text = to_text(report)
    assert text.startswith("Is it hyperbolic at all?\n")
    assert text.index("the cosine ranking") < text.index("\nComparison\n")
    (row,) = report.geometry.tables[0].rows
    assert row[:5] == ["hyp", "hyperbolic", "0.1", "2.3", "100%"]
    for written in (to_markdown(report), to_latex(report)):
        assert "Is it hyperbolic at all?" in written
        assert "the cosine ranking" in written


def test_hierarchy_with_intervals_beside_random_trees(measured):
    report = make_report([measured])
    (table,) = report.hierarchy.tables
    assert table.header == ["method", "space", "tree", "purity (family)"]
    # Half of the distance between 0.6 and 0.8, times Student's t for one degree of freedom.
    assert table.rows == [["hyp", "hyperbolic", CLASS_MEANS, "0.70 ± 1.27 (0.25)"]]
    (record,) = report.records
    assert record["saturation"] == 1
    assert record[f"{CLASS_MEANS}: dendrogram_purity/family"] == pytest.approx(0.7)
    assert record[f"{CLASS_MEANS}: dendrogram_purity/family_random"] == pytest.approx(0.25)


def test_runs_without_embeddings_say_so(tmp_path, write_run):
    write_run("hyp", space="hyperbolic", geometry=GEOMETRY)
    report = make_report([tmp_path / "bench"])
    assert report.geometry.tables == []
    assert report.geometry.problems == [
        "Not measured: the run did not keep test_embeddings.npy: run it again to measure it."
    ]
    assert report.tables[0].rows


def test_damaged_measures_stop_no_report(measured):
    (measured / "hyp" / "fold0_seed0" / "measures.json").write_text("{")
    report = make_report([measured])
    assert report.geometry.tables[0].rows
    assert "damaged" in " ".join(report.hierarchy.problems)


def test_neighbors_that_earlier_versions_left_out_are_said(measured):
    (problem,) = make_report([measured]).hierarchy.problems
    assert problem.startswith(
        "Not measured: the nearest neighbors, which earlier versions left out"
    )
    assert "remove the measures.json" in problem


def test_labels_of_one_level(tmp_path, write_run):
    write_run("a", levels=["digit"])
    report = make_report([tmp_path / "bench"])
    assert report.geometry is None
    assert report.hierarchy.problems == [
        "Not measured: the labels have one level, so there are no superclasses to compare with."
    ]
