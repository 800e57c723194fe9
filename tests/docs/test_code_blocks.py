"""Every block of code in the documentation is executed, page by page."""

import pytest

from pml_hyperbolic.benchmark.cli import main
from tests.docs.pages import PAGES, blocks_of, name_of
from tests.docs.workplace import SHORTENED, Workplace, commands_of

# Blocks of these languages are text to read: output of programs, formulas.
NOT_CODE = {"text", ""}
# The only reasons for which a block is not run.
REASONS = ("needs", "takes hours", "makes an environment", "a list of alternatives")
# Pages that speak of finished runs.
WITH_RUNS = {"docs/figures.md", "docs/models.md", "docs/reports.md"}
# Pages with many runs.
LONG = {"docs/own_photos.md", "docs/benchmark.md"}
# What a page's commands must have made.
MADE = {
    "README.md": ["runs/photos/results.json", "found.html"],
    "docs/benchmark.md": ["report/report.html", "runs/digits-search/digits.yaml"],
    "docs/extending.md": ["runs/scans/results.json", "runs/gratings/results.json"],
    "docs/figures.md": ["tree.svg"],
    "docs/models.md": ["birds.npz", "birds.index", "digits_model/model.safetensors", "found.html"],
    "docs/own_photos.md": ["runs/photos-tuned/results.json", "found.html"],
    "docs/reports.md": ["out/report.html", "out/report.md", "out/report.csv", "out/report.tex"],
}


def code_of(page):
    """The blocks of a page that are code."""
    return [block for block in blocks_of(page) if block.language not in NOT_CODE]


def runnable(page):
    """The blocks of a page that are to be executed."""
    return [block for block in code_of(page) if block.reason is None]


def as_parameter(page):
    """The page as a parameter of a test, marked if it takes long."""
    marks = [pytest.mark.long] if name_of(page) in LONG else []
    return pytest.param(page, marks=marks, id=name_of(page))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of runs that pages speak of, from very short training."""
    folder = tmp_path_factory.mktemp("docs") / "runs"
    methods = "methods=[multi_similarity, chest, hyp]"
    assert main(["run", "digits", methods, "--output", str(folder), *SHORTENED["run"]]) == 0
    return folder


@pytest.fixture
def workplace(documented_folder, write_image, write_photos):
    write_photos(documented_folder / "photos", 24, 4)
    for name in ("birds/robin/1.png", "birds/wren/1.png", "birds/wren/2.png", "query.jpg"):
        write_image(documented_folder / name, (40, 36))
    return Workplace(documented_folder)


# Lightning advises more workers for loading data that are in memory already.
@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
# It uses a name that torch 2.14 deprecates.
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated")
@pytest.mark.parametrize("page", [as_parameter(page) for page in PAGES if runnable(page)])
def test_blocks_run(page, workplace, request):
    if name_of(page) in WITH_RUNS:
        workplace.add_folder(request.getfixturevalue("runs"))
    for block in runnable(page):
        workplace.execute(block)
    for name in MADE.get(name_of(page), []):
        assert (workplace.folder / name).stat().st_size > 0


def test_blocks_that_are_not_run_say_why():
    blocks = [block for page in PAGES for block in code_of(page) if block.reason is not None]
    assert blocks
    assert [block for block in blocks if not block.reason.startswith(REASONS)] == []


def test_every_config_is_a_file_that_a_command_reads():
    untitled = [
        f"{name_of(block.page)}:{block.line}"
        for page in PAGES
        for block in runnable(page)
        if block.language not in ("python", "bash") and block.title is None
    ]
    assert untitled == [], "give the block a title, and read it in a later block"


def test_blocks_are_found_with_title_indent_and_reason(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\n```python\na = 1\n```\n\n"
        '1. first\n\n    ```yaml title="a/b.yaml"\n    c: 1\n    ```\n\n'
        "<!-- not run: needs a moon -->\n```bash\necho  # nothing\n```\n"
    )
    first, second, third = blocks_of(page)
    assert (first.language, first.code, first.line, first.title) == ("python", "a = 1\n", 3, None)
    assert (second.language, second.title, second.code) == ("yaml", "a/b.yaml", "c: 1\n")
    assert (third.reason, third.language) == ("needs a moon", "bash")


def test_commands_are_lines_without_comments():
    code = "# first\nA=1\nrun x \\\n    y=$A  # that is all\n\n"
    assert commands_of(code) == ["A=1", "run x      y=$A"]


def test_bash_variables_and_quotes_reach_the_command(documented_folder):
    workplace = Workplace(documented_folder)
    workplace._command("name='a b'")
    assert workplace._words("run $name methods='[x, y]' \"$name\"") == [
        *("run", "a", "b"),
        *("methods=[x, y]", "a b"),
    ]
