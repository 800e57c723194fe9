"""What must be true of a command that met a fault, and of the files after the next command."""

import json
import os
import sqlite3
from contextlib import closing

import numpy as np
import torch
import yaml

from pml_hyperbolic.benchmark.results.row import read_rows

# How many operations of each command and mode are tried: all, a number, or the default.
EFFORT = os.environ.get("PML_HYPERBOLIC_FAULTS", "")


def chosen(count, default):
    """Return the numbers of the operations to spoil: all, or some at equal distances."""
    if EFFORT == "all":
        return list(range(1, count + 1))
    some = min(int(EFFORT or default), count)
    return sorted({round(1 + (count - 1) * i / max(some - 1, 1)) for i in range(some)})


def faults_of(answer, mode, number):
    """What is wrong with the end of a command that met a fault; nothing if it is right."""
    if answer.status == "hangs":
        return ["it hangs"]
    # A command does not always need as many operations, as it may wait for something.
    if mode == "kill" and answer.count >= number:
        return [] if answer.status == -9 else [f"it was not killed: {answer.status}"]
    wrong = []
    if "Traceback" in answer.err:
        wrong.append("a traceback")
    if answer.status == 0:
        return wrong + [f"an error and status 0: {line}" for line in answer.messages]
    if answer.status not in (1, 2):
        wrong.append(f"status {answer.status}")
    if len(answer.messages) != 1:
        wrong.append(f"{len(answer.messages)} messages: {answer.err[-300:]}")
    elif "/" not in answer.messages[0] or ": " not in answer.messages[0][20:]:
        wrong.append(f"no file or no remedy: {answer.messages[0]}")
    if "results: " in answer.out:
        wrong.append("results beside an error")
    return wrong


def contents(folder):
    """Return all that a benchmark's folder says, without the time that the runs took."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or path.name in (".lock", ".owner.json"):
            continue
        found[name] = _content(path)
    return found


def _content(path):
    if path.name in ("result.json", "results.json"):
        rows = read_rows(path) if path.name == "result.json" else json.loads(path.read_text())
        plain = [row if isinstance(row, dict) else row.plain() for row in rows]
        return repr([{k: v for k, v in row.items() if k != "seconds"} for row in plain])
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return {name: archive[name].tobytes() for name in archive.files}
    if path.suffix == ".pt":
        return repr(torch.load(path, weights_only=True))
    if path.suffix == ".yaml":
        return yaml.safe_load(path.read_text())
    if path.name == "logs.db":
        return tables(path)
    # Times, peaks of memory and commands differ from run to run.
    if path.name in ("run.log", "environment.json", "logs.db.sha256"):
        return "there"
    return path.read_bytes()


def tables(database):
    """Return all rows of a database without their numbers."""
    with closing(sqlite3.connect(database)) as connection:
        names = connection.execute("select name from sqlite_master where type = 'table'")
        return {
            name: [row[1:] for row in connection.execute(f"select * from [{name}] order by id")]
            for (name,) in list(names)
            if not name.startswith("sqlite_")
        }


def differences(folder, reference):
    """Names of the files that two folders do not have alike."""
    ours, theirs = contents(folder), contents(reference)
    return sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )
