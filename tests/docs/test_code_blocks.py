"""Every block of code in the documentation is executed, page by page."""

import pytest
import torch

from pml_hyperbolic.benchmark.cli import main
from tests.docs.pages import PAGES, ROOT, blocks_of, name_of
from tests.docs.workplace import SHORTENED, Workplace

# Blocks of these languages are text to read: output of programs, formulas.
NOT_CODE = {"text", ""}
# Pages that speak of finished runs.
WITH_RUNS = {"docs/figures.md", "docs/models.md"}
# What a page's commands must have made.
MADE = {
    "docs/benchmark.md": ["report/report.html", "runs/digits-search/digits.yaml"],
    "docs/figures.md": ["tree.svg"],
    "docs/models.md": ["birds.npz", "birds.index", "digits_model/model.safetensors", "found.html"],
}


def runnable(page):
    """The blocks of a page that are to be executed."""
    blocks = (block for block in blocks_of(page) if block.language not in NOT_CODE)
    return [block for block in blocks if block.reason is None]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of runs that pages speak of, from very short training."""
    folder = tmp_path_factory.mktemp("docs") / "runs"
    config = str(ROOT / "benchmark_configs" / "digits.yaml")
    methods = "methods=[multi_similarity, chest, hyp]"
    assert main(["run", config, methods, "--output", str(folder), *SHORTENED["run"]]) == 0
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.chdir(tmp_path)
    return Workplace(tmp_path)


def prepare_photos(workplace, write_image):
    for name in ("birds/robin/1.png", "birds/wren/1.png", "birds/wren/2.png", "query.jpg"):
        write_image(workplace.folder / name, (8, 8))


def test_pages_are_found():
    names = [name_of(page) for page in PAGES]
    assert {"README.md", "docs/losses.md", "docs/mathematics.md"} <= set(names)


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name_of)
def test_blocks_run(page, workplace, write_image, request):
    if name_of(page) in WITH_RUNS:
        workplace.add_folder(request.getfixturevalue("runs"))
    prepare_photos(workplace, write_image)
    for block in runnable(page):
        workplace.execute(block)
    for name in MADE.get(name_of(page), []):
        assert (workplace.folder / name).stat().st_size > 0
