"""Folders that the system, and not an injected fault, keeps from being written."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from pml_hyperbolic.benchmark.cli import main

from .outcomes import contents, differences, search_contents
from .place import REPOSITORY, write_benchmarks

# Runs the commands that it is given as JSON, and prints status and errors of each.
DRIVER = """
import contextlib, io, json, sys
from pml_hyperbolic.benchmark.cli import main
answers = []
for words in json.loads(sys.argv[1]):
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        status = main(words)
    lines = errors.getvalue().replace("\\r", "\\n").splitlines()
    answers.append([status, [line for line in lines if "pml-hyperbolic: " in line]])
print(json.dumps(answers))
"""
# Without these, permissions hold for root as well.
ABOVE_PERMISSIONS = "-dac_override,-dac_read_search"


@pytest.fixture
def commands(tmp_path):
    """A function that runs commands as one who needs permissions: status and errors of each."""
    words = [sys.executable, "-W", "ignore", "-c", DRIVER]
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root may write everywhere, and there is no setpriv (util-linux)")
        drop = [f"--bounding-set={ABOVE_PERMISSIONS}", f"--inh-caps={ABOVE_PERMISSIONS}"]
        words = [setpriv, *drop, *words]

    def run(*chosen):
        order = json.dumps([[str(word) for word in command] for command in chosen])
        done = subprocess.run(
            [*words, order],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PML_HYPERBOLIC_CACHE": str(tmp_path / "c")},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def set_mode(folder, mode):
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(mode)


def state(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_each_command_ends_in_one_line_and_works_once_the_folder_may_be_written(commands, tmp_path):
    config, _ = write_benchmarks(tmp_path)
    empty, used, found = folders = [tmp_path / name for name in ("empty", "used", "found")]
    empty.mkdir()
    run = ["run", str(config), "--no-page", "--jobs", "1", "--output"]
    search = ["search", str(config), "--trials", "2", "--output"]
    assert main([*run, str(used)]) == 0
    assert main([*search, str(found)]) == 0
    finished = contents(used / "tiny"), search_contents(found)
    before = [state(folder) for folder in folders]
    for folder in folders:
        set_mode(folder, 0o555)
    answers = commands(
        [*run, empty],
        [*search, empty],
        [*run, used],
        [*run, used, "protocol.seeds=[0, 1]"],
        [*search, found],
        [*search, found, "--trials", "3"],
        ["report", used / "tiny", "--write", used / "tiny" / "report"],
        ["report", used / "tiny"],
    )
    assert [status for status, _ in answers] == [2, 2, 1, 1, 1, 1, 2, 0]
    expected = [
        (f"{empty}/tiny", "choose another one"),
        (f"{empty}/tiny-search", "choose another one"),
        (f"{used}/tiny/", "make it and its folder writable"),
        (f"{used}/tiny/", "make it and its folder writable"),
        (f"{found}/tiny-search/", "make it and its folder writable"),
        (f"{found}/tiny-search/", "make it and its folder writable"),
        (f"{used}/tiny/report", "choose another --write"),
    ]
    for (_, messages), (file, remedy) in zip(answers, expected, strict=False):
        (message,) = messages
        assert file in message
        assert remedy in message
    assert answers[-1][1] == []
    assert list(empty.iterdir()) == []
    assert [state(folder) for folder in folders] == before
    for folder in folders:
        set_mode(folder, 0o755)
    assert main([*run, str(used)]) == 0
    assert main([*search, str(found)]) == 0
    assert differences(contents(used / "tiny"), finished[0]) == []
    assert differences(search_contents(found), finished[1]) == []
