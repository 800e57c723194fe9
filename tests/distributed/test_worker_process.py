"""Processes end when the one that started them is gone."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pml_hyperbolic.distributed.worker_process import ended_in_order

ROOT = Path(__file__).resolve().parents[2]
# The parent prints the number of its child and is killed when the child is ready.
PROGRAM = """
import os, signal, sys, time
from pml_hyperbolic.distributed import worker_process
read, write = os.pipe()
child = os.fork()
if child == 0:
    if sys.argv[1] == "thread":
        worker_process._ask_for_signal = lambda: None
    worker_process.end_with_launcher()
    if sys.argv[1] == "signal":
        # Nothing in this process runs any more, as if it never gave up the interpreter's lock.
        worker_process._POLL_SECONDS = 1e6
    os.write(write, b"x")
    time.sleep(1e6)
os.read(read, 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    "way",
    [
        "thread",
        pytest.param(
            "signal",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="a signal of Linux"),
        ),
    ],
)
def test_a_process_ends_with_its_parent(way):
    # The pipe to us is closed when the child has ended, too.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    assert done.returncode == -9


def test_sigterm_interrupts_the_block_and_nothing_else():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), ended_in_order():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_threads_receive_no_signals():
    before = signal.getsignal(signal.SIGTERM)

    def inside():
        with ended_in_order():
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(inside).result() == before
