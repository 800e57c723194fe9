"""If torchrun or a rank is killed, no rank lives on."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.running import process_group
from tests.benchmark.running import launched

from .test_process_group import TORCHRUN, arguments

# Ten seconds are promised; a busy machine gets more.
PATIENCE = 60


@pytest.fixture
def stuck(tmp_path, config_file):
    """Two ranks in the middle of an epoch: (torchrun, numbers of the ranks' processes).

    Rank 1 sleeps, and rank 0 waits for its gradients.
    """
    words = arguments(config_file, tmp_path / "runs", "methods=[hier]")
    process = subprocess.Popen(
        [*TORCHRUN, "--nproc-per-node=2", launched.__file__, *words],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path.cwd()),
            "SLEEP": "1 2",
            "PROCESSES": str(tmp_path),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    numbers = [tmp_path / f"rank{rank}" for rank in range(2)]
    while not all(file.exists() for file in numbers):
        assert process.poll() is None
        time.sleep(0.1)
    ranks = [int(file.read_text()) for file in numbers]
    yield process, ranks
    for number in (process.pid, *ranks):
        if is_alive(number):
            os.kill(number, signal.SIGKILL)
    process.wait(PATIENCE)


def is_alive(number):
    """Whether a process runs: one that has ended may still be listed until its parent asks."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{number}/stat")
    try:
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_the_end(numbers):
    deadline = time.monotonic() + PATIENCE
    while any(map(is_alive, numbers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [number for number in numbers if is_alive(number)] == []


def test_ranks_end_when_torchrun_is_killed(stuck):
    process, ranks = stuck
    assert all(map(is_alive, ranks))
    process.kill()
    wait_for_the_end(ranks)


def test_torchrun_that_was_killed_while_the_ranks_started(monkeypatch, tmp_path, config_file):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1"}
    environment |= {"MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    watched = []
    monkeypatch.setattr(process_group, "end_with_launcher", lambda: watched.append(True))
    with pytest.raises(SystemExit, match=f"torchrun is gone, .*127.0.0.1:{port}"):
        main(arguments(config_file, tmp_path / "runs"))
    assert watched == [True]


def test_a_killed_rank_ends_the_other_and_torchrun(stuck):
    process, ranks = stuck
    os.kill(ranks[1], signal.SIGKILL)
    wait_for_the_end(ranks)
    assert process.wait(PATIENCE) == 1
