"""Fixtures of the tests of the report page."""

import re
import shutil

import pytest

from pml_hyperbolic.benchmark.page import maps_section
from pml_hyperbolic.benchmark.page.page import make_page
from pml_hyperbolic.benchmark.plotting.run_line import chosen_lines
from pml_hyperbolic.benchmark.reporting.comparability import CHECKS
from pml_hyperbolic.benchmark.reporting.compared_runs import compare_runs
from pml_hyperbolic.benchmark.reporting.report import report_of

DISK = maps_section._disk


@pytest.fixture(scope="session")
def page_of():
    """A function that makes the page of folders, whatever the checks say of them."""

    def make(*folders, **options):
        compared = compare_runs(folders, allowed=CHECKS)
        return make_page(compared, report_of(compared), **options)

    return make


@pytest.fixture(scope="session")
def whole_page(tiny, page_of):
    """The page of the tiny benchmark, with all its figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps_section, "_disk", DISK)
        return page_of(tiny.folder, command="pml-hyperbolic report tiny --write out")


@pytest.fixture(scope="session")
def num_figures(tiny):
    """Number of figures of the whole page: chest, where it is the best line, has a second disk."""
    (best,) = chosen_lines(tiny.folder, most=1)
    # Forest, curves, gallery, disk, similarities to classes, radii.
    return 6 + (best.run.method == "chest")


@pytest.fixture
def copy(tiny, tmp_path):
    """A copy of the tiny benchmark's folder, to be damaged."""
    return shutil.copytree(tiny.folder, tmp_path / "tiny")


@pytest.fixture(scope="session")
def sections_of():
    """A function from a page to the HTML of its sections by name."""

    def split(page):
        parts = re.findall(r'<section id="([a-z-]+)".*?>(.*?)</section>', page, flags=re.DOTALL)
        return dict(parts)

    return split


@pytest.fixture(scope="session")
def problems_of(sections_of):
    """A function from a page to the problems of its sections by name."""

    def find(page):
        found = {
            name: re.findall(r'<p class="problem">(.*?)</p>', html)
            for name, html in sections_of(page).items()
        }
        return {name: problems for name, problems in found.items() if problems}

    return find
