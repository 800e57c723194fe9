"""scripts/export_upstream.py: what it refuses, what it writes, and that it writes it once."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.upstream.skeleton import commit_all, git, write, write_skeleton

SUBJECTS = [
    "Add PoincareDistance and PoincareSimilarity",
    "Add HypLoss",
    "Add HIERLoss and HIERRegularizer",
    "Add HypHCRegularizer",
    "Add PoincareKNN, PoincareKMeans and HyperbolicAccuracyCalculator",
]
INDEX_PAGES = re.compile(r"CONTENTS\.md|docs/\w+\.md|src/.*/__init__\.py")
VERSION = "src/pytorch_metric_learning/__init__.py"


def set_version(checkout, version):
    write(checkout / VERSION, f'__version__ = "{version}"\n')
    commit_all(checkout)


def make_newer(checkout):
    set_version(checkout, "2.10.0")
    return r"is pytorch-metric-learning 2\.10\.0, newer than 2\.9"


def make_next_generation(checkout):
    set_version(checkout, "3.0.4")
    return r"is pytorch-metric-learning 3\.0\.4, newer than 2\.9"


def make_older(checkout):
    set_version(checkout, "2.8.1")
    return r"is pytorch-metric-learning 2\.8\.1, older than 2\.9"


def make_without_version(checkout):
    write(checkout / VERSION, "")
    commit_all(checkout)
    return "states no __version__"


def make_changed(checkout):
    write(checkout / "CONTENTS.md", "changed")
    return r"is not clean \(M CONTENTS\.md, 1 in all\)"


def make_untracked(checkout):
    write(checkout / "notes.txt", "of the user")
    return r"is not clean \(\?\? notes\.txt, 1 in all\)"


def make_another_project(checkout):
    git(checkout, "mv", "src/pytorch_metric_learning", "src/another_project")
    commit_all(checkout)
    return "is not a checkout of pytorch-metric-learning 2"


def make_a_subfolder_of_another_project(checkout):
    (checkout / ".git").rename(checkout / "not_git")
    return "is not the root of a git checkout"


def make_a_file_in_the_way(checkout):
    write(checkout / "src/pytorch_metric_learning/losses/hyp_loss.py", "class HypLoss: ...\n")
    commit_all(checkout)
    return r"losses/hyp_loss\.py exists with another content"


def make_another_section(checkout):
    page = checkout / "docs" / "losses.md"
    write(page, page.read_text() + "\n## HIERLoss\nAnother text.\n")
    commit_all(checkout)
    return r"docs/losses\.md has another section HIERLoss"


def make_without_a_page(checkout):
    git(checkout, "rm", "--quiet", "docs/regularizers.md")
    commit_all(checkout)
    return r"docs/regularizers\.md is missing"


def make_without_a_table(checkout):
    contents = checkout / "CONTENTS.md"
    write(contents, contents.read_text().replace("### Utils", "### Tools"))
    commit_all(checkout)
    return r"CONTENTS\.md has no table below '### Utils'"


def make_without_an_author(checkout):
    git(checkout, "config", "user.useConfigOnly", "true")
    git(checkout, "config", "--unset", "user.email")
    return "git knows no author"


@pytest.mark.parametrize(
    "make",
    [
        make_newer,
        make_next_generation,
        make_older,
        make_without_version,
        make_changed,
        make_untracked,
        make_another_project,
        make_a_subfolder_of_another_project,
        make_a_file_in_the_way,
        make_another_section,
        make_without_a_page,
        make_without_a_table,
        make_without_an_author,
    ],
)
def test_other_checkouts_are_refused_by_name_and_left_alone(script, skeleton, make, capsys):
    message = make(skeleton)
    before = contents_of(skeleton)
    assert script.main(["--checkout", str(skeleton)]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert contents_of(skeleton) == before


def test_a_folder_that_is_not_there_is_refused(script, tmp_path):
    with pytest.raises(script.ExportError, match="is not the root of a git checkout"):
        script.export(tmp_path / "nowhere")


def test_five_commits_are_written_once(script, skeleton, capsys):
    assert script.main(["--checkout", str(skeleton)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"committed: {s}" for s in SUBJECTS]
    after = contents_of(skeleton)
    assert git(skeleton, "log", "-5", "--reverse", "--format=%s").splitlines() == SUBJECTS
    assert git(skeleton, "status", "--porcelain") == ""
    assert script.main(["--checkout", str(skeleton)]) == 0
    assert capsys.readouterr().out.startswith("nothing to do")
    assert contents_of(skeleton) == after


def test_what_was_merged_already_is_left_out(script, skeleton):
    start = git(skeleton, "rev-parse", "HEAD")
    script.export(skeleton)
    complete = git(skeleton, "rev-parse", "HEAD^{tree}")
    git(skeleton, "reset", "--quiet", "--hard", f"{start}")
    # The second commit alone comes in as a maintainer's squashed merge.
    script.export(skeleton)
    second = git(skeleton, "rev-parse", "HEAD~3")
    git(skeleton, "reset", "--quiet", "--hard", start)
    git(skeleton, "checkout", "--quiet", second, "--", ".")
    commit_all(skeleton, "Distances and HypLoss, in one commit")
    assert script.export(skeleton) == SUBJECTS[2:]
    assert git(skeleton, "rev-parse", "HEAD^{tree}") == complete


def test_equal_checkouts_get_equal_commits(script, tmp_path, monkeypatch):
    first = write_skeleton(tmp_path / "first")
    git(first, "clone", "--quiet", str(first), str(tmp_path / "second"))
    second = tmp_path / "second"
    for name, value in (("user.name", "Tester"), ("user.email", "tester@example.org")):
        git(second, "config", name, value)
    # Hooks of the user take no part.
    hook = second / ".git" / "hooks" / "pre-commit"
    write(hook, "#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    for checkout in (first, second):
        script.export(checkout)
    assert git(first, "rev-parse", "HEAD") == git(second, "rev-parse", "HEAD")
    dates = git(first, "log", "-6", "--format=%at %ct").splitlines()
    assert len({date.split()[1] for date in dates}) == 1

    git(second, "reset", "--quiet", "--hard", "HEAD~5")
    for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
        monkeypatch.setenv(name, "1700000000 +0000")
    script.export(second)
    assert git(second, "log", "-1", "--format=%at %ct") == "1700000000 1700000000"


def test_a_failing_commit_puts_the_checkout_back(script, skeleton, monkeypatch):
    before = contents_of(skeleton)
    monkeypatch.setenv("GIT_COMMITTER_DATE", "no date")
    with pytest.raises(script.ExportError, match="invalid date format: no date"):
        script.export(skeleton)
    assert contents_of(skeleton) == before


def test_the_diff_touches_nothing_but_index_pages(exported):
    changes = git(exported, "diff", "--name-status", "before-export").splitlines()
    assert changes
    for line in changes:
        status, path = line.split("\t")
        assert status == "A" or (status == "M" and INDEX_PAGES.fullmatch(path)), line
    for line in git(exported, "diff", "--numstat", "before-export").splitlines():
        _, deleted, path = line.split("\t")
        # Where the last line had no end, git counts it as changed.
        without_end = not git_bytes(exported, f"before-export:{path}").endswith(b"\n")
        assert int(deleted) <= without_end, line


def test_each_commit_is_complete_in_itself(exported):
    for commit in git(exported, "rev-list", "--reverse", "before-export..HEAD").splitlines():
        shown = git(exported, "show", "--name-only", "--format=", commit).splitlines()
        names = {Path(path).name for path in shown}
        assert "CONTENTS.md" in names
        assert any(path.startswith("docs/") for path in shown)
        for path in shown:
            if path.startswith("src/") and "/utils/" not in path and "__init__" not in path:
                test = f"tests/{Path(path).parent.name}/test_{Path(path).name}"
                tested = test in shown or path.endswith("poincare_similarity.py")
                assert tested, f"{path} without {test}"


def test_entries_stand_at_their_places(exported):
    losses = sections(exported, "losses", "## ")
    assert losses.index("HypLoss") == losses.index("HIERLoss") + 1
    assert losses.index("HypLoss") == losses.index("InstanceLoss") - 1
    distances = sections(exported, "distances", "## ")
    at = distances.index("LpDistance") + 1
    assert distances[at : at + 3] == ["PoincareDistance", "PoincareSimilarity", "SNRDistance"]
    regularizers = sections(exported, "regularizers", "## ")
    at = regularizers.index("LpRegularizer")
    assert regularizers[at - 2 : at] == ["HIERRegularizer", "HypHCRegularizer"]
    assert sections(exported, "accuracy_calculation", "### ")[-3:] == [
        "HyperbolicAccuracyCalculator",
        "PoincareKNN",
        "PoincareKMeans",
    ]
    contents = (exported / "CONTENTS.md").read_text().split("\n### ")
    for title, name, after in [
        ("[Distances]", "PoincareDistance", "LpDistance"),
        ("[Losses]", "HypLoss", "HistogramLoss"),
        ("[Regularizers]", "HIERRegularizer", None),
        ("Utils", "HyperbolicAccuracyCalculator", None),
    ]:
        (table,) = (text for text in contents if text.startswith(title))
        rows = re.findall(r"^\| \[?\*\*(\w+)", table, re.MULTILINE)
        assert name in rows
        if after:
            assert rows.index(name) == rows.index(after) + 1
        if title != "Utils":
            assert rows == sorted(rows, key=str.lower)
    lines = (exported / "src/pytorch_metric_learning/losses/__init__.py").read_text().splitlines()
    assert lines == sorted(lines)


def test_pages_keep_their_line_endings(exported):
    for path in git(exported, "diff", "--name-only", "before-export").splitlines():
        text = (exported / path).read_bytes()
        if b"\r\n" in text:
            assert text.count(b"\n") == text.count(b"\r\n"), path
    assert b"\r\n" in (exported / "docs" / "regularizers.md").read_bytes()


def test_sources_fit_pml(script):
    """The syntax of Python 3.8, black's line length, and PML's dependencies only."""
    for part in script.contribution():
        subject, empty, *body = part.message.splitlines()
        assert len(subject) <= 72
        assert not empty
        assert all(len(line) <= 80 for line in body)
        for path, text in part.texts.items():
            assert not re.search(r"[^\x00-\x7f]|\t| $", text, re.MULTILINE) or path.endswith(".md")
            if not path.endswith(".py"):
                continue
            tree = ast.parse(text, feature_version=(3, 8))
            for node in ast.walk(tree):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module]
                for name in names:
                    allowed = {"math", "torch"}
                    if path.startswith("tests/"):
                        allowed |= {"os", "tempfile", "unittest", "pytorch_metric_learning"}
                    assert name.split(".")[0] in allowed, (path, name)


def test_no_source_is_left_out(script):
    """Every file of the folder belongs to a commit, and is not hidden by a missing message."""
    folders = sorted(p for p in script.CONTRIBUTION.iterdir() if p.name[0].isdigit())
    assert len(folders) == len(SUBJECTS)
    for folder, part in zip(folders, script.contribution(), strict=True):
        files = {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert files == {*part.texts, "message.txt"}


def contents_of(checkout):
    """Everything of a checkout that an export may change: files, branch and index."""
    files = {
        path.relative_to(checkout).as_posix(): path.read_bytes()
        for path in checkout.rglob("*")
        if path.is_file() and ".git" not in path.parts and "not_git" not in path.parts
    }
    if not (checkout / ".git").exists():
        return files
    return files, git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain")


def sections(checkout, page, level):
    """Names of the sections of a documentation page, outside code."""
    text = re.sub(r"```.*?```", "", (checkout / "docs" / f"{page}.md").read_text(), flags=re.DOTALL)
    return [name.strip() for name in re.findall(rf"^{level}(.*)$", text, re.MULTILINE)]


def git_bytes(checkout, name):
    """The content of a file in a commit, empty if it is not there."""
    shown = subprocess.run(["git", "-C", str(checkout), "show", name], capture_output=True)
    return shown.stdout or b"\n"
