"""The section on dimension: one line a method, whatever the benchmarks are called."""

import html
import re

import pytest

from pml_hyperbolic.benchmark.page.dimension_section import dimension_section
from pml_hyperbolic.benchmark.reporting.compared_runs import compare_runs


@pytest.fixture
def benchmarks(write_run):
    """Names and folders of two benchmarks: a at dimensions 4 and 16, b at 4, a's twin at both."""
    folders = []
    for name, size, scores in (("small", 4, (0.2, 0.4)), ("large", 16, (0.6, 0.8))):
        for seed, shift in ((0, 0.0), (1, 0.1)):
            for method in ("a", "b", "twin"):
                if method == "b" and size == 16:
                    continue
                folder = write_run(
                    method,
                    [score + shift for score in scores],
                    seed=seed,
                    benchmark=name,
                    dimension=size,
                    total_dimension=size,
                    flat_twin_of="a" if method == "twin" else None,
                    levels=["class"],
                )
        folders.append((name, folder.parents[1]))
    return folders


def section_of(folders):
    compared = compare_runs(folders, allowed=("protocols", "parameters", "data"))
    return dimension_section(compared.groups, compared.results.twins)


def test_each_method_is_a_line_over_its_dimensions(benchmarks):
    section = section_of(benchmarks)
    (table,) = section.tables
    assert table.header == ["method", "MAP@R at 4", "MAP@R at 16"]
    (row,) = table.rows
    assert row[0] == "a (euclidean)"
    assert [float(cell.split()[0]) for cell in row[1:]] == [35.0, 75.0]
    (figure,) = section.figures
    assert figure.alternative.startswith("MAP@R of a (euclidean) at the dimensions 4, 16;")


def test_one_dimension_is_no_curve(benchmarks):
    assert section_of(benchmarks[:1]).is_empty


def test_the_page_has_it_after_training(benchmarks, page_of, sections_of):
    sections = sections_of(page_of(*benchmarks))
    names = list(sections)
    assert names[names.index("training") + 1] == "dimension"
    text = html.unescape(sections["dimension"])
    assert re.findall(r"<th [^>]*>(.*?)</th>", text) == ["method", "MAP@R at 4", "MAP@R at 16"]
    assert text.count("<img") == 1
