"""Whatever a crash or a stranger left in the folder of a benchmark, running again is the cure."""

import errno
import json
import os
import shutil

import pytest

from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.measuring.run_contents import test_set as embedded_test_set
from pml_hyperbolic.benchmark.measuring.run_measures import measures_of
from pml_hyperbolic.benchmark.results.finished_run import FinishedRun
from pml_hyperbolic.benchmark.running.run_hooks import RunHooks
from pml_hyperbolic.checked_files import read_checked_json, read_checked_text
from pml_hyperbolic.embedder import Embedder
from pml_hyperbolic.errors import InputError

from .rows import numbers

SHORT = (
    "methods=[proxy_anchor]",
    "protocol.seeds=[0]",
    "protocol.epochs=2",
    "protocol.steps_per_epoch=1",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, write_config):
    """A short benchmark that was never disturbed."""
    folder = tmp_path_factory.mktemp("finished")
    words = ("run", str(write_config(folder)), *SHORT, "--jobs", "1", "--no-page")
    assert main([*words, "--output", str(folder / "runs")]) == 0
    return folder / "runs" / "tiny"


@pytest.fixture
def go(config_file, tmp_path, capsys):
    """Run the short benchmark: exit status, lines of stdout, lines of errors."""

    def go(*arguments):
        words = ("run", str(config_file), *SHORT, "--jobs", "1", "--no-page", *arguments)
        status = main([*words, "--output", str(tmp_path / "runs")])
        out, err = capsys.readouterr()
        errors = [line for line in err.splitlines() if line.startswith("pml-hyperbolic: ")]
        return status, out.splitlines(), errors

    return go


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "tiny"


@pytest.fixture
def copy(finished, folder):
    """The finished benchmark, to be damaged."""
    shutil.copytree(finished, folder)
    return folder


def rows(folder):
    return numbers(json.loads((folder / "results.json").read_text()))


def run_of(folder):
    return folder / "proxy_anchor" / "fold0_seed0"


@pytest.mark.parametrize(
    "leftover", ["..owner.json.part", ".benchmark.yaml.part", ".lock", ".owner.json"]
)
def test_the_command_knows_its_own_leftovers(go, folder, finished, leftover):
    folder.mkdir(parents=True)
    (folder / leftover).write_text("ha")
    assert go()[0] == 0
    assert rows(folder) == rows(finished)
    assert not list(folder.rglob("*.part"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.unlink(), "benchmark.yaml was missing: it is written anew"),
        (lambda file: file.write_text(""), "benchmark.yaml was damaged (it holds NoneType)"),
        (lambda file: file.write_bytes(file.read_bytes()[:600]), "benchmark.yaml was damaged ("),
        (
            lambda file: file.write_text(read_checked_text(file)[:300]),
            "benchmark.yaml was damaged (",
        ),
        (lambda file: file.write_bytes(b"\xff\xfe"), "benchmark.yaml was damaged ("),
    ],
)
def test_a_damaged_benchmark_file_is_written_anew(go, copy, finished, damage, words):
    damage(copy / "benchmark.yaml")
    status, out, errors = go()
    assert (status, errors) == (0, [])
    assert len([line for line in out if words in line]) == 1
    assert read_checked_text(copy / "benchmark.yaml") == read_checked_text(
        finished / "benchmark.yaml"
    )
    assert rows(copy) == rows(finished)


def test_runs_of_another_protocol_are_found_without_the_benchmark_file(go, copy, capsys):
    (copy / "benchmark.yaml").unlink()
    status, _, errors = go("protocol.epochs=1")
    assert status == 2
    assert "holds runs of another protocol" in errors[0]
    assert not (copy / "benchmark.yaml").exists()


def stop_before_the_end(monkeypatch):
    class Stop(BaseException):
        pass

    def stop(self, trainer):
        raise Stop

    monkeypatch.setattr(RunHooks, "load_checkpoint", stop)
    return Stop


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda run: flip(run / "last.pt"), "last.pt cannot be read"),
        (lambda run: flip(run / "checkpoint.pt"), "checkpoint.pt cannot be read"),
        (lambda run: (run / "checkpoint.pt").unlink(), "checkpoint.pt cannot be read"),
        (lambda run: os.truncate(run / "checkpoint.pt", 100), "checkpoint.pt cannot be read"),
        (lambda run: (run / "records" / "logs.db").unlink(), "logs.db lacks"),
        (lambda run: os.truncate(run / "records" / "logs.db", 5000), "the records cannot be used"),
        (lambda run: flip(run / ".snapshots.npz.epoch1"), ".snapshots.npz.epoch1 cannot be used"),
        (lambda run: (run / "environment.json").unlink(), None),
        (lambda run: (run / "environment.json").write_text("{"), None),
        (lambda run: (run / "environment.json").write_text("[]"), None),
    ],
)
def test_a_damaged_state_is_said_and_done_again(
    go, folder, finished, monkeypatch, caplog, damage, words
):
    with monkeypatch.context() as patch, pytest.raises(stop_before_the_end(patch)):
        go()
    damage(run_of(folder))
    caplog.clear()
    status, _, errors = go()
    assert (status, errors) == (0, [])
    said = [r.getMessage() for r in caplog.records if "starts over" in r.getMessage()]
    assert len(said) == (words is not None)
    assert words is None or words in said[0]
    assert rows(folder) == rows(finished)
    log = (run_of(folder) / "run.log").read_text()
    assert ("resumed after epoch 2" in log) == (words is None)


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_state_behind_the_result_goes_at_the_next_run(go, copy, finished):
    for name in ("last.pt", ".snapshots.npz.epoch1", ".checkpoint.pt.epoch1", ".last.pt.part"):
        (run_of(copy) / name).write_bytes(b"x")
    assert go()[0] == 0
    kept = {path.name for path in run_of(copy).iterdir()}
    assert kept == {path.name for path in run_of(finished).iterdir()}


@pytest.mark.parametrize(
    "name", ["result.json", "queries.npz", "test_embeddings.npy", "checkpoint.pt"]
)
def test_damaged_results_are_refused_by_name(copy, capsys, name):

    flip(run_of(copy) / name)

    def read():
        run = FinishedRun.read(run_of(copy))
        run.query_scores("euclidean", "mean_average_precision_at_r")
        embedded_test_set(run, "euclidean")
        Embedder.load(run_of(copy))

    with pytest.raises(InputError, match=name):
        read()


def test_damaged_measures_and_untrained_scores_are_made_again(go, copy, finished, caplog):
    expected = read_checked_json(finished / "untrained.json")
    flip(copy / "untrained.json")
    _, out, _ = go()
    assert len([line for line in out if "untrained.json was damaged" in line]) == 1
    assert read_checked_json(copy / "untrained.json") == expected
    run = FinishedRun.read(run_of(copy))
    measures = measures_of(run)
    flip(run_of(copy) / "measures.json")
    assert measures_of(run) == measures
    assert len([r for r in caplog.records if "measured again" in r.getMessage()]) == 1


@pytest.mark.parametrize("what", ["run", "benchmark"])
def test_a_folder_that_is_removed_during_a_run(go, folder, finished, monkeypatch, what):
    save = RunHooks.save_state

    def remove(self, trainer):
        shutil.rmtree(folder if what == "benchmark" else self.folder)
        save(self, trainer)

    with monkeypatch.context() as patch:
        patch.setattr(RunHooks, "save_state", remove)
        status, out, errors = go()
    assert status == 1
    (message,) = errors
    assert "was removed meanwhile: run again" in message
    assert not [line for line in out if line.startswith("results: ")]
    assert go()[0] == 0
    assert rows(folder) == rows(finished)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EIO, "an input/output error: check it"),
        (errno.EROFS, "it may not be written: make it"),
    ],
)
@pytest.mark.parametrize("name", ["last.pt", "measures.json", "untrained.json", "results.json"])
def test_a_disk_that_fails_is_said_in_one_line(
    go, folder, finished, monkeypatch, number, words, name
):
    replace = os.replace

    def fail(source, target, **options):
        if os.path.basename(target) == name:
            raise OSError(number, os.strerror(number), str(source))
        replace(source, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        status, out, errors = go()
    assert status == 1
    (message,) = errors
    assert name in message
    assert words in message
    assert not [line for line in out if line.startswith("results: ")]
    assert not list(folder.rglob("*.part"))
    assert go()[0] == 0
    assert rows(folder) == rows(finished)


@pytest.mark.parametrize("place", ["tiny", "tiny/proxy_anchor", "tiny/proxy_anchor/fold0_seed0"])
def test_a_link_to_another_folder_is_refused_and_left_alone(go, tmp_path, place):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "last.pt").write_text("mine")
    link = tmp_path / "runs" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(mine)
    if place != "tiny":
        (tmp_path / "runs" / "tiny" / "proxy_anchor").mkdir(exist_ok=True)
        (tmp_path / "runs" / "tiny" / ".owner.json").touch()
        run = tmp_path / "runs" / "tiny" / "x" / "fold0_seed0"
        run.mkdir(parents=True)
        (run / "config.yaml").touch()
    status, _, errors = go()
    assert status == 2
    assert f"{link} is a link, and nothing is written or removed through links" in errors[0]
    assert {path.name: path.read_text() for path in mine.iterdir()} == {"last.pt": "mine"}


@pytest.mark.parametrize("name", [".results.json.part", "results.json", ".results.csv.part"])
def test_a_link_in_the_place_of_a_file_is_not_followed(go, copy, tmp_path, name):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (copy / name).unlink(missing_ok=True)
    (copy / name).symlink_to(mine)
    assert go()[0] == 0
    assert mine.read_text() == "mine"
    assert not (copy / name).is_symlink()


def test_notes_of_the_user_stay(go, folder):
    run = run_of(folder)
    run.mkdir(parents=True)
    (folder / ".owner.json").touch()
    (run / "config.yaml").touch()
    (run / "notes.md").write_text("mine")
    (run / "last.pt").write_text("half")
    assert go()[0] == 0
    assert (run / "notes.md").read_text() == "mine"
    owner = json.loads((run / ".owner.json").read_text())
    assert "last.pt" in owner["files"]
    assert "notes.md" not in owner["files"]
