"""How a worker process behaves towards the one that started it."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading


def become_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent does.

    Ctrl-C reaches the whole process group; the parent alone answers it. A killed parent takes no
    more results: its workers neither work on nor wait for it for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
