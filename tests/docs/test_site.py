"""The site is built without a warning, documents the public API, and shows its pages."""

import ast
import html
import importlib
import logging
import re
import zlib

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.chromium import Chromium, chromium_program
from tests.docs.pages import ROOT

PACKAGE = ROOT / "pml_hyperbolic"
# Names that stand on the page of the package they live in: here they are imported for convenience.
ELSEWHERE = (
    "pml_hyperbolic.benchmark.datasets.subsets",
    "pml_hyperbolic.embedder.CosineKNN",
    "pml_hyperbolic.utils.DistributedLoss",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site; the build raises an error for every warning."""
    folder = tmp_path_factory.mktemp("site")
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append
    logging.getLogger("mkdocs").addHandler(handler)
    try:
        config = load_config(
            str(ROOT / "docs" / "mkdocs" / "mkdocs.yml"), strict=True, site_dir=str(folder)
        )
        build(config)
    finally:
        logging.getLogger("mkdocs").removeHandler(handler)
    assert [record.getMessage() for record in records] == []
    return folder


def public_names():
    """Dotted names of all that the ``__all__`` of a package, or of a module at the top, names."""
    files = [*PACKAGE.rglob("__init__.py"), *PACKAGE.glob("*.py")]
    names = set()
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
        if any(getattr(target, "id", "") == "__all__" for a in assigned for target in a.targets):
            parts = file.relative_to(ROOT).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            names |= {f"{module}.{name}" for name in importlib.import_module(module).__all__}
    return {name for name in names if not name.startswith(ELSEWHERE)}


def documented_names(site):
    """The names in the index of the site, as Sphinx and mkdocstrings of other projects read it."""
    content = (site / "objects.inv").read_bytes()
    lines = zlib.decompress(content.split(b"\n", 4)[4]).decode().splitlines()
    return {line.split(" ", 1)[0] for line in lines}


def test_the_public_api_is_what_the_index_has(site):
    pages = (ROOT / "docs" / "api").glob("*.md")
    asked_for = {
        name
        for page in pages
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert asked_for == public_names()
    assert asked_for <= documented_names(site)


def test_formulas_are_drawn_by_the_browser_itself(site):
    page = (site / "mathematics.html").read_text(encoding="utf-8")
    source = (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8")
    displayed = source.count("$$") // 2
    inline = len(re.findall(r"(?<!\$)\$(?!\$)[^$\n]+\$(?!\$)", source))
    assert page.count("<math ") == displayed + inline
    assert displayed > 15
    for formula in re.findall(r"<math .*?</math>", page, flags=re.DOTALL):
        # A command or an alignment that was not understood would be shown as it stands.
        assert not re.search(r"\\|&(amp;)?<", formula), html.unescape(formula)


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"""<(?:script|img|iframe)[^>]*\bsrc=["']?(\w+:[^"' >]*)""", text)
        loaded += re.findall(r"""<link[^>]*\bhref=["']?(https?:[^"' >]*)[^>]*stylesheet""", text)
        assert loaded == [], page.name


@pytest.mark.skipif(chromium_program() is None, reason="there is no Chromium")
def test_pages_fit_the_screens_of_phones_and_desks(site):
    pages = ("index", "mathematics", "birds", "own_loop", "api/losses", "api/functional")
    too_wide = []
    with Chromium() as browser:
        for width in (390, 1280):
            browser.show(width=width)
            for page in pages:
                browser.open(site / f"{page}.html")
                if browser.value("document.documentElement.scrollWidth") > width:
                    too_wide.append((page, width))
    assert too_wide == []
