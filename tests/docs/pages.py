"""The pages of the documentation and the blocks of code in them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(
    r"""
    (?:^<!--\ not\ run:\ (?P<reason>[^\n]+?)\ -->\n)?
    ^(?P<indent>\ *)```(?P<language>\w*)(?:\ title="(?P<title>[^"\n]+)")?\n
    (?P<code>.*?)
    ^(?P=indent)```$
    """,
    flags=re.DOTALL | re.MULTILINE | re.VERBOSE,
)


class Block(NamedTuple):
    """A block of code: where it stands, what it is, and why it is not run, if it is not."""

    page: Path
    line: int
    language: str
    title: str | None
    code: str
    reason: str | None


def name_of(page):
    """The page's path within the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page):
    """The blocks of code of a page in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("code")),
            found["language"],
            found["title"],
            re.sub(rf"^{found['indent']}", "", found["code"], flags=re.MULTILINE),
            found["reason"],
        )
        for found in _BLOCK.finditer(text)
    ]
