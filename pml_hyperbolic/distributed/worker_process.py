"""How a worker process behaves towards the process that started it."""

import contextlib
import ctypes
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

# Option of Linux's prctl: the signal that a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 1.0


def become_worker() -> None:
    """Ignore Ctrl-C, which the parent handles, and exit when the parent does.

    Ctrl-C reaches the whole process group, but only the parent should answer it. Without the
    second part, the workers of a killed parent would go on working, or wait for it for ever.

    Progress bars, which only the parent shows, get a lock of threads instead of one of processes:
    a parent that ends this process leaves no semaphore behind.
    """
    import tqdm

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tqdm.tqdm.set_lock(threading.RLock())
    threading.Thread(target=_exit_with_parent, daemon=True).start()


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """Let SIGTERM interrupt the block as Ctrl-C does, so that its worker processes are ended.

    The system would end this process at once, without the workers' semaphores being released, which
    Python reports as leaked. Outside of the main thread, which alone receives signals, nothing
    changes.

    Raises:
        KeyboardInterrupt: the signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit_with_parent():
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def end_with_launcher() -> None:
    """End this process as soon as the process that started it is gone, whatever it is doing.

    torchrun ends its ranks when one of them fails, but not if it is killed itself: they would go on
    with their run while another one begins, or wait for each other for ever. Linux sends the signal
    even to a process that holds Python's interpreter lock; elsewhere a thread looks every second.
    What is on the disk is what a killed run leaves, and is resumed like it.
    """
    launcher = os.getppid()
    _ask_for_signal()
    threading.Thread(target=_end_after, args=(launcher,), daemon=True).start()


def _ask_for_signal():
    if sys.platform == "linux":
        # A system without this function has the thread.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_after(launcher):
    # An orphan is given to another parent.
    while os.getppid() == launcher:
        time.sleep(_POLL_SECONDS)
    os._exit(1)
