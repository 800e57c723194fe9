"""A process that has imported everything, and forks one child for each command it is asked for.

Run as ``python -m tests.faults.server`` with ``faults.c`` preloaded; it answers JSON lines. A fresh
process would import torch for each of many thousand commands.
"""

import ctypes
import functools
import gc
import itertools
import json
import os
import signal
import sys
import tempfile
import time
import uuid
from pathlib import Path

# Long enough for any command here, on a busy machine.
_SECONDS = 240
_PACKAGE = str(Path(__file__).parents[2] / "pml_hyperbolic") + os.sep
# The innermost lines of the package that an operation was called from: these are told.
_LINES = 2


def serve():
    """Answer orders until stdin ends: one JSON object a line, in and out."""
    faults = ctypes.CDLL(None)
    faults.faults_count.restype = ctypes.c_long
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(_obey(order, faults)), flush=True)


def _obey(order, faults):
    if order.get("here"):
        # What a command imports when it needs it is imported once, too.
        with open(os.devnull, "w") as nowhere:
            before, sys.stdout = sys.stdout, nowhere
            try:
                return {"status": _main(order["words"])}
            finally:
                sys.stdout = before
                # A child that collects garbage would copy the pages of all that was imported.
                gc.collect()
                gc.freeze()
    child = os.fork()
    if child == 0:
        _child(order, faults)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return {
        "status": "hangs" if code == -signal.SIGALRM else code,
        "count": faults.faults_count(),
    }


def _child(order, faults):
    signal.alarm(_SECONDS)
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    sys.stdout = os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w")
    status = 99
    # Two undisturbed commands write the same bytes if the time stands still for them, and give the
    # same names to the same files.
    faults.faults_stop_clock(ctypes.c_long(order["clock"]))
    time.perf_counter = lambda: 0.0
    uuid.uuid4 = lambda: uuid.UUID(int=order["clock"])
    tempfile._name_sequence = map("{:08}".format, itertools.count())
    # record-keeper keeps a cursor of each connection that it closes. SQLite looks for the database
    # once more when the cursor is collected, as garbage, at any moment.
    gc.disable()
    operations = None
    if order.get("operations"):
        operations, listener = _listener()
        faults.faults_listen(listener)
    try:
        if "name" in order:
            faults.faults_choose(order["name"].encode(), os.fsencode(order["path"]))
        faults.faults_arm(ctypes.c_long(order["number"]), order["mode"])
        status = _main(order["words"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if operations is not None:
            with open(order["operations"], "w") as file:
                json.dump(operations, file)
        os._exit(status)


def _listener():
    """Return a list of the operations to come, and the function of the C library that fills it.

    Each is its name, its kind, its file, and the lines of the package from which it was called.
    """
    operations = []

    @ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
    def listener(name, kind, path):
        lines, frame = [], sys._getframe().f_back
        while frame is not None and len(lines) < _LINES:
            if frame.f_code.co_filename.startswith(_PACKAGE):
                file = frame.f_code.co_filename.removeprefix(_PACKAGE)
                lines.append(f"{file}:{frame.f_lineno}")
            frame = frame.f_back
        operations.append([name.decode(), kind, os.fsdecode(path), lines])

    return operations, listener


def _main(words):
    import torch
    import tqdm

    from pml_hyperbolic.benchmark.cli import main

    tqdm.tqdm.monitor_interval = 0
    torch.set_num_threads(1)
    return main(words)


def _save_time():
    """Leave out what takes long and has nothing to do with the files of a command."""
    import numpy as np
    from alembic.util import pyfiles
    from matplotlib.figure import Figure

    from pml_hyperbolic.benchmark import environment
    from pml_hyperbolic.benchmark.running import single_run
    from pml_hyperbolic.images import image_cache
    from pml_hyperbolic.visualize import disk_layout

    # The cache is used even for the smallest data set.
    image_cache.IN_MEMORY = 0

    # The same for all commands.
    environment.package_versions = functools.cache(environment.package_versions)
    environment.git_commit = functools.cache(environment.git_commit)
    single_run.peak_memory = lambda device: 1.0
    pyfiles.load_module_py = functools.cache(pyfiles.load_module_py)
    # The figures of a page are made of what was read; they are neither laid out nor drawn.
    disk_layout._layout = lambda rows, *others: np.zeros((len(rows), 2))
    Figure.savefig = lambda figure, stream, **options: stream.write(b"drawn")


if __name__ == "__main__":
    _save_time()
    serve()
