"""What must be true of a command that met a fault, and of the files after the next command."""

import hashlib
import json
import re
import sqlite3
from contextlib import closing

import numpy as np
import torch
import yaml

from pml_hyperbolic.benchmark.results.row import read_rows

# The process that holds a lock, and the checksum of the file that says so.
_PROCESS = re.compile(rb'"pid": \d+|sha256 [0-9a-f]*')

# What helps against a disk that fails.
_REMEDY = re.compile("free some|choose another|check (it|the disk)|writable|search again")


def faults_of(answer, mode, occurrence, folder):
    """Return what is wrong with the end of a command that met a fault in a folder."""
    if answer.status == "hangs":
        return ["it hangs"]
    if answer.count < occurrence:
        return ["the operation did not come"]
    if mode == "kill":
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
    elif str(folder) not in answer.messages[0] or not _REMEDY.search(answer.messages[0]):
        wrong.append(f"no file or no remedy: {answer.messages[0]}")
    if "results: " in answer.out:
        wrong.append("results beside an error")
    return wrong


def state_of(folder):
    """Return a checksum of all files in a folder, names and bytes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)}\0{path.is_dir()}\0".encode())
        if path.is_file():
            content = path.read_bytes()
            if path.name.startswith((".owner.json", "..owner.json")):
                content = _PROCESS.sub(b"", content)
            digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def contents(folder):
    """Return all that a benchmark's folder says, without the time that the runs took."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or path.name in (".lock", ".owner.json") or path.suffix == ".lock":
            continue
        found[name] = _content(path)
    return found


def report_contents(folder):
    """Return the files of a report."""
    return {path.name: path.read_bytes() for path in (folder / "report").iterdir()}


def search_contents(folder):
    """Return the configs that a search wrote, and its finished trials."""
    (search,) = folder.iterdir()
    files = [path for path in search.rglob("*") if path.is_file() and "trials" not in path.parts]
    configs = {path.name: path.read_bytes() for path in files if path.suffix == ".yaml"}
    names = {path.name: None for path in files if path.suffix not in (".yaml", ".db", ".lock")}
    return {**names, **configs, "trials": finished_trials(search / "search.db")}


def finished_trials(database):
    """Return proposal, settings and score of the finished trials of a search."""
    query = """
        select proposal.value_json, settings.value_json, score.value from trials as trial
        join trial_user_attributes as proposal
            on proposal.trial_id = trial.trial_id and proposal.key = 'proposal'
        join trial_user_attributes as settings
            on settings.trial_id = trial.trial_id and settings.key = 'values'
        join trial_values as score on score.trial_id = trial.trial_id
        where trial.state = 'COMPLETE'
    """
    with closing(sqlite3.connect(database)) as connection:
        return sorted(connection.execute(query))


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


def differences(ours, theirs):
    """Names of the contents that are not alike."""
    return sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )
