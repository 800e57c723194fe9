"""The README is short, and what it and the pages link to is there."""

import re
from urllib.parse import unquote

import pytest

from tests.docs.pages import PAGES, ROOT, name_of

LONGEST = 150


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_linked_files_exist(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    files = [unquote(target.partition("#")[0]) for target in targets if "://" not in target]
    assert [file for file in files if file and not (page.parent / file).exists()] == []


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            text = page.read_text(encoding="utf-8")
            targets = re.findall(r"\]\(([^)\s#]+)[^)\s]*\)", text)
            waiting += [(page.parent / target).resolve() for target in targets]
    hand_written = [page for page in PAGES if "api" not in page.parts]
    assert [name_of(page) for page in hand_written if page not in reached] == ["docs/index.md"]
