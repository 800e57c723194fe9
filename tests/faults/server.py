"""A process that has imported everything, and forks one child for each command it is asked for.

Run as ``python -m tests.faults.server`` with ``faults.c`` preloaded; it answers JSON lines. A fresh
process would import torch for each of many hundred commands.
"""

import ctypes
import json
import os
import signal
import sys
import time

# Long enough for any command here, on a busy machine.
_SECONDS = 240


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
    child = os.fork()
    if child == 0:
        _child(order, faults)
    ending = time.monotonic() + _SECONDS
    while time.monotonic() < ending:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return {"status": code, "count": faults.faults_count()}
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return {"status": "hangs", "count": faults.faults_count()}


def _child(order, faults):
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    sys.stdout = os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w")
    status = 99
    try:
        faults.faults_arm(ctypes.c_long(order["number"]), order["mode"])
        status = _main(order["words"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _main(words):
    import torch
    import tqdm

    from pml_hyperbolic.benchmark.cli import main
    from pml_hyperbolic.benchmark.page import page
    from pml_hyperbolic.benchmark.tuning import heartbeat

    # After a kill, a search waits until the trial that was begun is surely abandoned.
    heartbeat.HEARTBEAT_SECONDS, heartbeat.GRACE_SECONDS = 1, 3
    # Drawing takes a minute; what it reads is tested with flipped bits.
    page.make_page = lambda *arguments, **options: "<html></html>"
    tqdm.tqdm.monitor_interval = 0
    torch.set_num_threads(1)
    return main(words)


if __name__ == "__main__":
    serve()
