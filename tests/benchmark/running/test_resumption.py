"""A run that is stopped and resumed ends like an uninterrupted one, whenever it was stopped."""

import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
import torch

from pml_hyperbolic.benchmark.results.run_files import (
    CHECKPOINT_FILE,
    LAST_FILE,
    RADII_FILE,
    RESULT_FILE,
    SNAPSHOTS_FILE,
)
from pml_hyperbolic.benchmark.running.folder_lock import FolderLock
from pml_hyperbolic.benchmark.running.run_hooks import RunHooks
from pml_hyperbolic.benchmark.running.single_run import execute_run
from pml_hyperbolic.checked_files import read_checked_json, write_checked_json
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.files import read_json

from .rows import numbers

# Eight steps in four epochs, of which every other one is scored.
LENGTH = ("protocol.epochs=4", "protocol.steps_per_epoch=2", "protocol.evaluation.every=2")
REPOSITORY = Path(__file__).resolve().parents[3]


class Stop(BaseException):
    """An exception that ends a run as a signal would: no code of the package catches it."""


def tables(folder):
    """Return everything that record-keeper wrote, without the row numbers."""
    with closing(sqlite3.connect(folder / "records" / "logs.db")) as connection:
        names = [
            name
            for (name,) in connection.execute("select name from sqlite_master where type='table'")
            if not name.startswith("sqlite_")
        ]
        return {
            name: [row[1:] for row in connection.execute(f"select * from {name} order by id")]
            for name in sorted(names)
        }


def csv_files(folder):
    return {path.name: path.read_text() for path in sorted(folder.glob("records/*.csv"))}


def assert_same_run(folder, expected):
    assert numbers(read_checked_json(folder / RESULT_FILE)) == numbers(
        read_checked_json(expected / RESULT_FILE)
    )
    assert tables(folder) == tables(expected)
    assert csv_files(folder) == csv_files(expected)
    ours, theirs = (
        torch.load(path / CHECKPOINT_FILE, weights_only=True) for path in (folder, expected)
    )
    assert ours["epoch"] == theirs["epoch"]
    for kind in ("models", "loss_funcs"):
        for name, state in theirs[kind].items():
            assert all(torch.equal(ours[kind][name][key], state[key]) for key in state)
    for name in (SNAPSHOTS_FILE, RADII_FILE):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()
    assert not (folder / LAST_FILE).exists()
    assert not [path for path in folder.rglob(".*") if path.name not in FolderLock.FILES]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, write_config):
    """A function: method -> (its config, the folder of an uninterrupted run)."""
    from pml_hyperbolic.benchmark.config import load_benchmark

    made = {}

    def run(method):
        if method not in made:
            folder = tmp_path_factory.mktemp("uninterrupted")
            config = load_benchmark(write_config(folder), [f"methods=[{method}]", *LENGTH])
            execute_run(config, method, 0, 1, folder / "run")
            made[method] = config, folder / "run"
        return made[method]

    return run


@pytest.fixture
def stop_in(monkeypatch):
    """A function that makes the n-th call of a method of RunHooks end the run."""

    def patch(name, number, *, before):
        original, calls = getattr(RunHooks, name), []

        def method(self, *arguments, **options):
            calls.append(None)
            if before and len(calls) == number:
                raise Stop
            result = original(self, *arguments, **options)
            if len(calls) == number:
                raise Stop
            return result

        monkeypatch.setattr(RunHooks, name, method)

    return patch


# HIER draws random triplets and noise, CHEST random triplets and its two spaces; batches are
# shifted at random for both.
@pytest.mark.parametrize(
    ("method", "name", "number", "before", "epoch"),
    [
        ("hier", "end_of_iteration_hook", 1, True, None),
        ("hier", "save_state", 1, True, None),
        ("hier", "save_state", 1, False, 1),
        ("chest", "end_of_iteration_hook", 4, True, 1),
        # A checkpoint was selected, but the state that refers to it was not written.
        ("hier", "_save_checkpoint", 1, False, 1),
        ("hier", "save_models_and_eval", 1, False, 1),
        # The state was written, but the selected checkpoint was not moved into place.
        ("hier", "_install_selected", 2, True, 2),
        ("chest", "end_of_iteration_hook", 7, False, 3),
        ("hier", "load_checkpoint", 1, True, 4),
        ("hier", "load_checkpoint", 1, False, 4),
        # The test scores were recorded, but the result was not written.
        ("hier", "record_scores", 4, False, 4),
    ],
)
def test_a_stopped_run_ends_like_an_uninterrupted_one(
    tmp_path, uninterrupted, stop_in, monkeypatch, method, name, number, before, epoch
):
    config, expected = uninterrupted(method)
    folder = tmp_path / "run"
    stop_in(name, number, before=before)
    with pytest.raises(Stop):
        execute_run(config, method, 0, 1, folder)
    monkeypatch.undo()
    torch.manual_seed(99)
    execute_run(config, method, 0, 1, folder)
    assert_same_run(folder, expected)
    log = (folder / "run.log").read_text()
    assert log.count("resumed after epoch") == (epoch is not None)
    if epoch is not None:
        assert f"resumed after epoch {epoch}" in log


def test_stopped_again_and_again(tmp_path, uninterrupted, stop_in, monkeypatch):
    config, expected = uninterrupted("hier")
    for _ in range(3):
        stop_in("end_of_iteration_hook", 3, before=True)
        with pytest.raises(Stop):
            execute_run(config, "hier", 0, 1, tmp_path / "run")
        monkeypatch.undo()
    execute_run(config, "hier", 0, 1, tmp_path / "run")
    assert_same_run(tmp_path / "run", expected)


def test_records_after_the_last_state_are_removed(tmp_path, uninterrupted, stop_in, monkeypatch):
    config, _ = uninterrupted("hier")
    folder = tmp_path / "run"
    # Killed after the test scores were recorded, with TensorBoard events beside them.
    monkeypatch.setattr(RunHooks, "seconds", property(lambda self: 1 / 0), raising=True)
    monkeypatch.setattr(RunHooks, "save_state", _state_without_seconds)
    with pytest.raises(ZeroDivisionError):
        execute_run(config, "hier", 0, 1, folder, tensorboard=True)
    assert any(name.startswith("test") for name in tables(folder))
    monkeypatch.undo()
    execute_run(config, "hier", 0, 1, folder, tensorboard=True)
    found = tables(folder)
    assert {name: len(rows) for name, rows in found.items() if name.startswith("test")} == {
        "test_hyperbolic": 1
    }
    assert len(found["validation_hyperbolic"]) == 2
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    steps = [event.step for event in events.Scalars("test_hyperbolic/precision_at_1")]
    assert len(steps) == 1
    steps = [e.step for e in events.Scalars("validation_hyperbolic/precision_at_1")]
    assert steps == [2, 4]


_save_state = RunHooks.save_state


def _state_without_seconds(self, trainer):
    seconds, RunHooks.seconds = RunHooks.seconds, 0.0
    try:
        _save_state(self, trainer)
    finally:
        RunHooks.seconds = seconds


class Evil:
    """An object that would run code when unpickled."""

    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: f.write_bytes(f.read_bytes()[: f.stat().st_size // 2]), "cannot be read"),
        (lambda f: f.write_bytes(b""), "cannot be read"),
        (lambda f: f.write_bytes(pickle.dumps(Evil())), "cannot be read"),
        (lambda f: torch.save({"epoch": 1}, f), "lacks 'identity'"),
        (lambda f: torch.save([1], f), "lacks"),
        (lambda f: _changed(f, "identity", "seed", 5), "is of a run with another seed"),
        (lambda f: _changed(f, "training", "sampler", {"labels": [1]}), "does not fit"),
        (lambda f: _changed(f, "training", "models", {}), "does not fit: 'trunk'"),
        (lambda f: f.with_name(CHECKPOINT_FILE).write_bytes(b"x"), "checkpoint.pt cannot be read"),
        (lambda f: f.with_name(CHECKPOINT_FILE).unlink(), "checkpoint.pt cannot be read"),
        (
            lambda f: torch.save({"epoch": 1}, f.with_name(CHECKPOINT_FILE)),
            "checkpoint.pt is not of the selected epoch 2",
        ),
    ],
)
def test_with_a_damaged_checkpoint_the_run_starts_over(
    tmp_path, uninterrupted, stop_in, monkeypatch, spoil, reason
):
    config, expected = uninterrupted("hier")
    folder = tmp_path / "run"
    stop_in("end_of_iteration_hook", 6, before=True)
    with pytest.raises(Stop):
        execute_run(config, "hier", 0, 1, folder)
    monkeypatch.undo()
    spoil(folder / LAST_FILE)
    execute_run(config, "hier", 0, 1, folder)
    assert_same_run(folder, expected)
    log = (folder / "run.log").read_text()
    assert "WARNING starting over: " in log
    assert reason in log
    assert not Path("evil").exists()


def _changed(file, section, key, value):
    state = torch.load(file, weights_only=True)
    state[section][key] = value
    torch.save(state, file)


@pytest.fixture
def stopped(tmp_path, uninterrupted, stop_in, monkeypatch):
    """The benchmark and the folder of a run of HIER that was stopped in its second epoch."""
    config, _ = uninterrupted("hier")
    folder = tmp_path / "run"
    stop_in("end_of_iteration_hook", 6, before=True)
    with pytest.raises(Stop):
        execute_run(config, "hier", 0, 1, folder)
    monkeypatch.undo()
    return config, folder


def test_other_package_versions_are_remembered(stopped):
    config, folder = stopped
    environment = read_checked_json(folder / "environment.json")
    environment["packages"]["torch"] = "1.0"
    write_checked_json(folder / "environment.json", environment)
    execute_run(config, "hier", 0, 1, folder)
    again = read_checked_json(folder / "environment.json")
    assert again["packages"]["torch"] != "1.0"
    assert again["begun_with"] == environment["packages"]
    assert "WARNING begun with other packages: torch 1.0" in (folder / "run.log").read_text()


def test_seconds_add_up(stopped):
    config, folder = stopped
    state = torch.load(folder / LAST_FILE, weights_only=True)
    state["seconds"] = 1000.0
    torch.save(state, folder / LAST_FILE)
    (row,) = execute_run(config, "hier", 0, 1, folder)
    assert 1000 < row.seconds < 1100


SCRIPT = "import sys; from pml_hyperbolic.benchmark.cli import main; sys.exit(main())"


def start(config_file, output, *arguments):
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, "run", str(config_file), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, "--no-page", "--output", str(output)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(file, process, text="", seconds=600):
    """Wait until a process has written a file that holds a text."""
    end = time.monotonic() + seconds
    while not (file.exists() and text in file.read_text(errors="replace")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)


# Epochs are so short that a kill may hit anything: steps, scores or writing.
LONG = (
    "methods=[hier]",
    "protocol.seeds=[0, 1]",
    "protocol.epochs=20",
    "protocol.steps_per_epoch=2",
)


def test_killed_with_signal_9_and_run_again(tmp_path, config_file, load):
    from pml_hyperbolic.benchmark.running.runner import run_benchmark

    expected, failures = run_benchmark(
        load(*LONG), tmp_path / "expected", jobs=1, say=print, show_progress=False
    )
    assert failures == []
    folder = tmp_path / "runs" / "tiny"
    for seed, (name, text) in enumerate(((LAST_FILE, ""), ("run.log", "epoch 4: "))):
        process = start(config_file, tmp_path / "runs", *LONG, "--jobs", "1")
        wait_for(folder / "hier" / f"fold0_seed{seed}" / name, process, text)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.communicate()
    process = start(config_file, tmp_path / "runs", *LONG, "--jobs", "1")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert numbers(read_json(folder / "results.json")) == numbers(expected)
    for seed in (0, 1):
        run = Path("tiny", "hier", f"fold0_seed{seed}")
        assert_same_run(tmp_path / "runs" / run, tmp_path / "expected" / run)
    assert "resumed after epoch" in (folder / "hier" / "fold0_seed1" / "run.log").read_text()


def test_a_worker_that_dies_takes_no_other_run_with_it(tmp_path, load):
    """Every worker that does seed 1 is killed, and the first one that does seed 0."""
    from pml_hyperbolic.benchmark.running.runner import run_benchmark

    config = load(*LONG, "protocol.epochs=3", "protocol.seeds=[0, 1, 2]")
    expected, _ = run_benchmark(
        config, tmp_path / "expected", jobs=1, say=print, show_progress=False
    )
    over = threading.Event()

    def hunt():
        runs = tmp_path / "runs" / "tiny" / "hier"
        hunted = [runs / "fold0_seed0", runs / "fold0_seed1"]
        while not over.is_set():
            for run in tuple(hunted):
                # The file may be missing or incomplete, and the process may be dead.
                with suppress(OSError, ValueError):
                    os.kill(read_json(run / ".owner.json")["pid"], signal.SIGKILL)
                    if run == runs / "fold0_seed0":
                        hunted.remove(run)
            time.sleep(0.002)

    thread = threading.Thread(target=hunt, daemon=True)
    thread.start()
    rows, failures = run_benchmark(
        config, tmp_path / "runs", jobs=2, say=print, show_progress=False
    )
    over.set()
    thread.join()
    assert numbers(rows) == [row for row in numbers(expected) if row["seed"] != 1]
    (failure,) = failures
    assert failure.task.seed == 1
    assert "its worker process died" in failure.error
    assert "fewer --jobs to resume it" in failure.error


def test_two_runners_cannot_share_a_folder(tmp_path, config_file, load):
    from pml_hyperbolic.benchmark.running.runner import run_benchmark

    folder = tmp_path / "runs" / "tiny"
    short = (*LONG, "protocol.epochs=10")
    process = start(config_file, tmp_path / "runs", *short, "--jobs", "2")
    wait_for(folder / "hier" / "fold0_seed0" / LAST_FILE, process)
    with pytest.raises(InputError, match=rf"is in use by process {process.pid} on .*--output"):
        run_benchmark(load(*short), tmp_path / "runs", say=print, show_progress=False)
    # Its workers end with it, and its lock is released.
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.communicate()
    rows, failures = run_benchmark(
        load(*short), tmp_path / "runs", jobs=1, say=print, show_progress=False
    )
    assert failures == []
    assert len(rows) == 2
