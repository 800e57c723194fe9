#!/usr/bin/env python
"""Writes this project's contribution to pytorch-metric-learning into a checkout of it.

    python scripts/export_upstream.py --checkout DIR

DIR is a clean git checkout of pytorch-metric-learning 2.9, on the branch that is to hold the
commits. Every folder of ``scripts/upstream`` becomes one commit. It has the layout of the checkout
and holds two kinds of files: new ones, which are copied, and entries for index pages
(``CONTENTS.md``, ``docs/*.md``, ``__init__.py``), which are inserted at their alphabetical place.
Nothing else of the checkout is touched. What is there already is left as it is, so that a second
call changes nothing. Equal checkouts get equal commits: the date is that of the commit they are
made on, unless ``GIT_AUTHOR_DATE`` and ``GIT_COMMITTER_DATE`` are set. ``docs/upstream.md`` says
more.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

CONTRIBUTION = Path(__file__).resolve().parent / "upstream"
VERSION_FILE = "src/pytorch_metric_learning/__init__.py"
SUPPORTED = (2, 9)
# Pages whose sections of this level stand in the order of their names; others grow at the end.
SORTED_PAGES = ("docs/distances.md", "docs/losses.md", "docs/regularizers.md")


class ExportError(Exception):
    """The checkout cannot take the contribution; the message says why and what to do."""


class Part(NamedTuple):
    """One commit: its message, and texts by their paths in the checkout."""

    message: str
    texts: dict[str, str]


def contribution(folder: Path = CONTRIBUTION) -> list[Part]:
    """The commits in their order, as the folder holds them."""
    parts = []
    for one in sorted(path for path in folder.iterdir() if (path / "message.txt").is_file()):
        files = sorted(p for p in one.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        texts = {p.relative_to(one).as_posix(): p.read_text(encoding="utf-8") for p in files}
        parts.append(Part(texts.pop("message.txt"), texts))
    return parts


def export(checkout: Path) -> list[str]:
    """Commit what the checkout lacks of the contribution; the subjects of the new commits.

    Raises:
        ExportError: the checkout is dirty, of another project or version, or holds other text
            where the contribution belongs, which is found before anything is changed; or git
            fails, after which the checkout is put back.
    """
    check_checkout(checkout)
    planned: dict[str, str] = {}

    def current(path: str) -> str | None:
        if path not in planned and (checkout / path).is_file():
            planned[path] = read(checkout / path)
        return planned.get(path)

    commits = []
    for part in contribution():
        changes = changed_files(part, current)
        planned.update(changes)
        if changes:
            commits.append((part.message, changes))
    environment = commit_environment(checkout)
    start = git(checkout, "rev-parse", "HEAD").strip()
    try:
        for message, changes in commits:
            commit(checkout, message, changes, environment)
    except (ExportError, OSError):
        git(checkout, "add", "--all")
        git(checkout, "reset", "--quiet", "--hard", start)
        raise
    return [message.splitlines()[0] for message, _ in commits]


def check_checkout(checkout: Path) -> None:
    """Raise ExportError unless this is the root of a clean checkout of the supported version."""
    if not (checkout / ".git").exists():
        raise ExportError(f"{checkout} is not the root of a git checkout: clone the project first")
    if not (checkout / VERSION_FILE).is_file():
        raise ExportError(
            f"{checkout} is not a checkout of pytorch-metric-learning 2, expected a file "
            f"{VERSION_FILE} in it: give the folder that holds its setup.py"
        )
    source = (checkout / VERSION_FILE).read_text(encoding="utf-8")
    found = re.search(r"""^__version__ = ["']((\d+)\.(\d+)[^"']*)["']""", source, re.MULTILINE)
    if not found:
        raise ExportError(
            f"{VERSION_FILE} states no __version__: check out a release or dev branch"
        )
    version, numbers = found[1], (int(found[2]), int(found[3]))
    if numbers != SUPPORTED:
        is_newer = "newer" if numbers > SUPPORTED else "older"
        raise ExportError(
            f"{checkout} is pytorch-metric-learning {version}, {is_newer} than 2.9, for which the "
            f"contribution is written: check out a branch of 2.9"
        )
    dirty = git(checkout, "status", "--porcelain").splitlines()
    if dirty:
        raise ExportError(
            f"{checkout} is not clean ({dirty[0].strip()}, {len(dirty)} in all): commit or remove "
            f"these changes first"
        )


def changed_files(part: Part, current: Callable[[str], str | None]) -> dict[str, str]:
    """Path -> new text, for every file that a part changes.

    Args:
        part: one commit.
        current: the text of a file before this commit, or None if there is none.
    """
    changes = {}
    for path, text in part.texts.items():
        before = current(path)
        insert = inserting(path)
        if insert is None:
            if before not in (None, text):
                raise ExportError(
                    f"{path} exists with another content: remove it, or merge by hand"
                )
            after = text
        elif before is None:
            raise ExportError(f"{path} is missing, into which the contribution writes its entries")
        else:
            after = insert(path, before, text)
        if after != before:
            changes[path] = after
    return changes


def inserting(path: str) -> Callable[[str, str, str], str] | None:
    """How entries are inserted into a file that exists; None for a file that is new."""
    if path == "CONTENTS.md":
        return with_rows
    if path.endswith("/__init__.py"):
        return with_imports
    if path.startswith("docs/") and path.endswith(".md"):
        return with_sections
    return None


def with_imports(path: str, before: str, lines: str) -> str:
    """``before`` with import lines at their places in the order of module names."""
    for line in lines.splitlines():
        if line in before.splitlines():
            continue
        starts = [(m.start(), m[0]) for m in re.finditer(r"^from \..*", before, re.MULTILINE)]
        place = next((start for start, other in starts if other > line), len(before))
        before = inserted(before, place, line + "\n")
    return before


def with_rows(path: str, before: str, rows: str) -> str:
    """``before`` with rows at their places in tables, which are named by the heading above them."""
    heading = ""
    for row in rows.splitlines():
        if row.startswith("#"):
            heading = row
            continue
        if row in before.splitlines():
            continue
        start = before.find(heading + newline_of(before))
        if start < 0:
            raise ExportError(f"{path} has no table below {heading!r}, expected as in version 2.9")
        end = before.find("\n#", start)
        end = len(before) if end < 0 else end
        table = [(start + m.start(), m[1]) for m in _rows(before[start:end])]
        name = next(_rows(row))[1]
        later = (at for at, other in table if other.lower() > name.lower())
        last = before.index("\n", table[-1][0]) + 1
        before = inserted(before, next(later, last), row + "\n")
    return before


def with_sections(path: str, before: str, sections: str) -> str:
    """``before`` with sections of a page at their places, or at its end if it is not sorted."""
    level = "## " if path in SORTED_PAGES else "### "
    starts = [start for start, _ in headings(sections, level)]
    for start, end in zip(starts, [*starts[1:], len(sections)], strict=True):
        section = sections[start:end]
        name = section.splitlines()[0][len(level) :].strip()
        existing = headings(before, level)
        names = [other for _, other in existing]
        if name in names:
            at = names.index(name)
            stop = existing[at + 1][0] if at + 1 < len(existing) else len(before)
            there = before[existing[at][0] : stop].replace("\r\n", "\n")
            if there.strip() != section.strip():
                raise ExportError(f"{path} has another section {name}: remove it, or merge by hand")
            continue
        place = len(before)
        if path in SORTED_PAGES:
            later = (at for at, other in existing if other.lower() > name.lower())
            place = next(later, place)
        if place == len(before):
            section = "\n" * (2 if before.endswith("\n") else 3) + section.rstrip("\n") + "\n"
        before = inserted(before, place, section)
    return before


def headings(page: str, level: str) -> list[tuple[int, str]]:
    """(offset, name) of every heading of a level outside blocks of code."""
    found, offset, in_code = [], 0, False
    for line in page.splitlines(keepends=True):
        if line.startswith("```") and line.count("```") == 1:
            in_code = not in_code
        elif line.startswith(level) and not in_code:
            found.append((offset, line[len(level) :].strip()))
        offset += len(line)
    return found


def inserted(text: str, place: int, new: str) -> str:
    """``text`` with ``new`` at an offset, in the line endings of ``text``."""
    if place == len(text) and text and not text.endswith("\n") and not new.startswith("\n"):
        new = "\n" + new
    return text[:place] + new.replace("\n", newline_of(text)) + text[place:]


def newline_of(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _rows(table: str) -> Iterator[re.Match[str]]:
    return re.finditer(r"^\| \[?\*\*(\w+)\*\*.*", table, re.MULTILINE)


def read(file: Path) -> str:
    """The text of a file, with its line endings as they are."""
    with open(file, encoding="utf-8", newline="") as opened:
        return opened.read()


def commit(
    checkout: Path, message: str, changes: dict[str, str], environment: dict[str, str]
) -> None:
    """Write the changed files, and commit them."""
    for path, text in changes.items():
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        with open(checkout / path, "w", encoding="utf-8", newline="") as file:
            file.write(text)
    git(checkout, "add", "--", *changes)
    git(checkout, "commit", "--quiet", "-m", message, env=environment)


def commit_environment(checkout: Path) -> dict[str, str]:
    """The environment for commits: dated like the commit they follow, unless it says otherwise."""
    try:
        git(checkout, "var", "GIT_AUTHOR_IDENT")
    except ExportError as error:
        raise ExportError(
            f"git knows no author for commits in {checkout}: set user.name and user.email"
        ) from error
    date = git(checkout, "log", "-1", "--format=%cd", "--date=raw").strip()
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    return {**dates, **os.environ}


def git(checkout: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    """The output of a git command in the checkout; raises ExportError if it fails."""
    # Neither hooks nor signatures: equal checkouts get equal commits.
    settings = ("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false")
    command = ["git", "-C", str(checkout), *settings, *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise ExportError(f"git {arguments[0]} failed in {checkout}: {done.stderr.strip()}")
    return done.stdout


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkout", type=Path, required=True, metavar="DIR", help="see above")
    checkout = parser.parse_args(arguments).checkout
    try:
        subjects = export(checkout)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for subject in subjects:
        print(f"committed: {subject}")
    if not subjects:
        print("nothing to do: the checkout holds the whole contribution")
    return 0


if __name__ == "__main__":
    sys.exit(main())
