"""Runs in several processes: signals, and disks that fail in one of them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from .operation import MODES
from .outcomes import contents, differences
from .place import REPOSITORY, compile_library, write_benchmarks

pytestmark = pytest.mark.long
# Of the longest waiting, on a busy machine.
SECONDS = 600
# An operation that a process has only if it trains.
WITHIN_A_RUN = 600


@pytest.fixture
def start(tmp_path):
    """A function that starts runs of two seeds in two processes: the process."""
    config, _ = write_benchmarks(tmp_path)
    words = ["run", str(config), "--output", str(tmp_path / "runs"), "--no-page", "--jobs", "2"]

    def start(*more, **environment):
        return subprocess.Popen(
            [sys.executable, "-m", "pml_hyperbolic.benchmark", *words, *more],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Programs that a shell has started in the background inherit that Ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start


def messages(err):
    return [line for line in err.replace("\r", "\n").splitlines() if "pml-hyperbolic: " in line]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_processes_in_order(start, tmp_path, number):
    process = start("protocol.seeds=[0, 1]", "protocol.epochs=100000")
    ending = time.monotonic() + SECONDS
    while len(list(tmp_path.glob("runs/tiny/chest/*/last.pt"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ending
        time.sleep(0.5)
    # A terminal sends Ctrl-C to all processes of its group.
    send = os.killpg if number == signal.SIGINT else os.kill
    send(process.pid, number)
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert [line.split("pml-hyperbolic: ")[1] for line in messages(err)] == [
        "interrupted: finished work is kept; run again to do the rest"
    ]
    assert "leaked" not in err
    assert "Traceback" not in err
    assert "results: " not in out


@pytest.mark.parametrize("mode", ["full disk", "broken disk", "read-only disk"])
def test_a_disk_that_fails_in_a_worker_ends_all_in_one_line(place, start, tmp_path, mode):
    library = tmp_path / "faults.so"
    compile_library(library)
    process = start(
        LD_PRELOAD=str(library),
        FAULTS_ROOT=str(tmp_path / "runs"),
        FAULTS_MODE=str(MODES[mode]),
        FAULTS_NUMBER=str(WITHIN_A_RUN),
    )
    out, err = process.communicate(timeout=SECONDS)
    assert "Traceback" not in err
    assert "leaked" not in err
    # Which operation has the number depends on the processes' order, and some are tried again: a
    # single error there may leave nothing behind.
    if mode != "broken disk" or process.returncode != 0:
        assert process.returncode == 1, err
        (message,) = messages(err)
        assert str(tmp_path / "runs") in message
        assert "results: " not in out
    process = start()
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert "results: " in out
    found = differences(contents(tmp_path / "runs" / "tiny"), contents(place.finished))
    # The configs name the folder of the data.
    assert [name for name in found if not name.endswith(".yaml")] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named_before_anything_is_done(start, tmp_path):
    (tmp_path / "runs").mkdir(mode=0o555)
    process = start()
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    (message,) = messages(err)
    assert f"cannot make the folder {tmp_path / 'runs' / 'tiny'}" in message
    assert "results: " not in out
