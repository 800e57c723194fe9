"""What a release says of itself agrees, and the script refuses what is not ready."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import pml_hyperbolic
from pml_hyperbolic.benchmark.cli import main

ROOT = Path(__file__).resolve().parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
VERSION = pml_hyperbolic.__version__


def newest_entry():
    """(version, date) of the first entry of CHANGELOG.md."""
    return re.search(r"^## (\S+) - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_version_changelog_and_citation_agree():
    entry = newest_entry()
    assert entry[1] == VERSION == CITATION["version"]
    assert entry[2] == CITATION["date-released"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", entry[2])


def test_no_other_file_states_the_version():
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()
    stated = [
        file.name
        for file in (ROOT / "pml_hyperbolic").rglob("*.py")
        if f'"{VERSION}"' in file.read_text()
    ]
    assert stated == ["__init__.py"]


def test_the_command_says_the_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"pml-hyperbolic {VERSION}\n"


def test_the_citation_follows_the_schema():
    """What version 1.2.0 of the Citation File Format requires of the keys that are used."""
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert {"message", "title", "authors"} <= CITATION.keys()
    assert CITATION["license"] == "MIT"
    assert CITATION["authors"] == [{"name": "the pml_hyperbolic contributors"}]
    assert len(set(CITATION["keywords"])) == len(CITATION["keywords"])
    for paper in CITATION["references"]:
        assert {"type", "title", "authors", "year"} <= paper.keys()
        assert paper["type"] in ("article", "conference-paper")
        assert all({"family-names", "given-names"} == author.keys() for author in paper["authors"])


def test_the_citation_names_the_papers():
    cited = {
        paper["identifiers"][0]["value"].removeprefix("arXiv:"): paper["authors"][0]["family-names"]
        for paper in CITATION["references"]
    }
    # CHEST, HIER, Hyp, HypHC and PML itself.
    assert cited == {
        "2510.05643": "Saeki",
        "2212.14258": "Kim",
        "2203.10833": "Ermolov",
        "2010.00402": "Chami",
        "2008.09164": "Musgrave",
    }
    mathematics = (ROOT / "docs" / "mathematics.md").read_text()
    assert all(number in mathematics for number in cited.keys() - {"2008.09164"})


@pytest.fixture
def clone(tmp_path):
    """A repository that is ready for a release, with a stand-in for the tests that fails."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name in (
        "pml_hyperbolic/__init__.py",
        "CHANGELOG.md",
        "CITATION.cff",
        "scripts/release.sh",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "scripts/test.sh").write_text("echo tests were run; exit 9\n")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(folder, *words):
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, timeout=60)


def commit(folder):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    git(folder, "add", "--all")
    git(folder, *who, "commit", "--quiet", "--message", "state")


def release(folder):
    return subprocess.run(
        ["bash", folder / "scripts/release.sh"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_release_begins_with_the_tests_and_ends_where_they_fail(clone):
    done = release(clone)
    assert (done.returncode, done.stdout, done.stderr) == (9, "tests were run\n", "")
    assert not (clone / "dist").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("pml_hyperbolic/__init__.py", VERSION, "0.9", "__version__ is '0.9', expected X.Y.Z"),
        (
            "pml_hyperbolic/__init__.py",
            VERSION,
            "9.9.9",
            "no entry for this version, expected '## ",
        ),
        ("CHANGELOG.md", " - 20", " - Unreleased 20", "CHANGELOG.md has no entry"),
        ("CITATION.cff", f"version: {VERSION}", "version: 9.9.9", "another version, expected"),
        ("CITATION.cff", "date-released: ", "date-released: 1", "CITATION.cff has another date"),
    ],
)
def test_what_does_not_agree_is_refused(clone, file, old, new, message):
    path = clone / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    commit(clone)
    done = release(clone)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_what_is_not_committed_is_refused(clone):
    (clone / "new.txt").write_text("")
    done = release(clone)
    assert done.returncode == 2
    assert "changes that are not committed" in done.stderr


def test_a_version_is_released_once(clone):
    git(clone, "tag", f"v{VERSION}")
    done = release(clone)
    assert done.returncode == 2
    assert f"there is a tag v{VERSION} already" in done.stderr
