"""Every mutation of the table is noticed by the test that it names, and by no accident."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutations.table import MUTATIONS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "mutations.md"
ALL = [mutation for group in MUTATIONS.values() for mutation in group]
ONE_LINE = 60


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """A function that applies a mutation to a copy of the repository, and tells how its test ends.

    The test has passed on the unchanged copy before.
    """
    copy = tmp_path_factory.mktemp("copy")
    for name in ("pml_hyperbolic", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "benchmark_configs", "docs", "README.md"):
        (copy / name).symlink_to(ROOT / name)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.mutations.worker", str(copy)],
        cwd=ROOT,
        env={**os.environ, "ROOT": str(ROOT), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(mutation, after):
        asked = {**mutation._asdict(), "after": after}
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    process.stdin.close()
    process.wait()
    process.stdout.close()


@pytest.mark.long
@pytest.mark.parametrize("mutation", ALL, ids=[mutation.name for mutation in ALL])
def test_a_mutation_is_noticed(worker, mutation):
    unchanged = worker(mutation, mutation.before)
    assert unchanged["status"] == 0, unchanged["output"]
    mutated = worker(mutation, mutation.after)
    # 1: a test failed. Anything else, such as a syntax error, would be noticed by every test.
    assert mutated["status"] == 1, mutated["output"]


def test_mutations_are_of_the_present_code():
    assert len(ALL) >= 30
    assert max(Counter(mutation.name for mutation in ALL).values()) == 1
    for mutation in ALL:
        text = (ROOT / "pml_hyperbolic" / mutation.file).read_text(encoding="utf-8")
        assert text.count(mutation.before) == 1, mutation.name
        file, _, test = mutation.test.partition("::")
        assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


def cell(text):
    """A text as code in a cell of Markdown, its lines joined and its end cut off."""
    line = " ".join(text.split()) or "(nothing)"
    line = line if len(line) <= ONE_LINE else f"{line[:ONE_LINE]} ..."
    fence = "``" if "`" in line else "`"
    return f"{fence}{line}{fence}".replace("|", "\\|")


def table(mutations):
    """The mutations as a table of Markdown."""
    lines = ["| mistake | in | text | becomes | noticed by |", "| --- | --- | --- | --- | --- |"]
    for mutation in mutations:
        file, _, test = mutation.test.partition("::")
        cells = [
            mutation.name.replace("|", "\\|"),
            f"`{mutation.file}`",
            cell(mutation.before),
            cell(mutation.after),
            f"`{test}` in `{file}`",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_document_lists_them_all():
    text = DOCUMENT.read_text(encoding="utf-8")
    for title, mutations in MUTATIONS.items():
        assert f"## {title}\n\n{table(mutations)}\n" in text, title
    assert f" {len(ALL)} mutations" in text
