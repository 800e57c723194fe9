"""How a worker process behaves towards the process that started it."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading


def become_worker() -> None:
    """Ignore Ctrl-C, which the parent handles, and exit when the parent does.

    Ctrl-C reaches the whole process group, but only the parent should answer it. Without the
    second part, the workers of a killed parent would go on working, or wait for it for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent():
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
