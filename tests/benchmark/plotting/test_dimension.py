"""Accuracy over the dimension of the whole embedding."""

from pml_hyperbolic.benchmark.plotting import dimension
from pml_hyperbolic.benchmark.plotting.dimension import draw_dimension
from pml_hyperbolic.benchmark.reporting.benchmark_results import BenchmarkResults
from pml_hyperbolic.benchmark.reporting.score_group import score_groups


def test_a_method_with_two_spaces_stands_at_the_sum_of_its_dimensions(tiny, monkeypatch):
    drawn = {}
    monkeypatch.setattr(dimension, "dimension", lambda methods, **_: drawn.update(methods))
    groups = score_groups(BenchmarkResults.read([tiny.folder]))
    draw_dimension(groups)
    sizes = {title: scores.dimensions.tolist() for title, scores in drawn.items()}
    assert sizes == {group.title: [group.first.total_dimension] for group in groups}
    # The protocol gives all methods the same number of dimensions in all.
    assert len({size for found in sizes.values() for size in found}) == 1
    assert sizes["chest (hyperbolic)"] == [
        sum(group.first.dimension for group in groups if group.method == "chest")
    ]
