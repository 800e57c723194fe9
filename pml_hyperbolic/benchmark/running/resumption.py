"""Resumption of an unfinished run from the files that it left."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from ...files import remove_parts
from ..results.run_files import CHECKPOINT_FILE, LAST_FILE, RECORDS_FOLDER, TENSORBOARD_FOLDER

_DATABASE = Path(RECORDS_FOLDER, "logs.db")


class CannotResume(Exception):
    """The files of an unfinished run cannot be used; the message says why."""


def stored_state(folder: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Return the state that an unfinished run left, None if it left none.

    Whatever was written after that state is removed.

    Args:
        folder: of the run.
        identity: of the run; a state of another run is refused.

    Raises:
        CannotResume: the files cannot be read, or belong to another run.
    """
    remove_parts(folder)
    if not (folder / LAST_FILE).exists():
        return None
    state = _load(folder / LAST_FILE)
    try:
        different = [key for key in identity if state["identity"][key] != identity[key]]
        best_epoch = state["hooks"]["best_epoch"]
        if different:
            raise CannotResume(f"{LAST_FILE} is of a run with another {' and '.join(different)}")
        install_selected(folder, best_epoch)
        if best_epoch is not None and _load(folder / CHECKPOINT_FILE)["epoch"] != best_epoch:
            raise CannotResume(f"{CHECKPOINT_FILE} is not of the selected epoch {best_epoch}")
        rewind_records(folder, state["records"])
    except (KeyError, TypeError) as error:
        raise CannotResume(f"{LAST_FILE} lacks {error}") from error
    return state


def selected_file(folder: Path, epoch: int) -> Path:
    """Return where a newly selected checkpoint waits until the state of its epoch is on disk."""
    return folder / f".{CHECKPOINT_FILE}.epoch{epoch}"


def install_selected(folder: Path, epoch: int | None) -> None:
    """Make the waiting checkpoint of this epoch the run's checkpoint, and remove all others."""
    for waiting in folder.glob(f".{CHECKPOINT_FILE}.epoch*"):
        if epoch is not None and waiting == selected_file(folder, epoch):
            os.replace(waiting, folder / CHECKPOINT_FILE)
        else:
            waiting.unlink(missing_ok=True)


def record_position(folder: Path) -> dict[str, dict[str, int]]:
    """Return the last row of every SQLite table and the size of every other record file.

    Args:
        folder: of the run; its records have been written and flushed.
    """
    return {
        "tables": _last_rows(folder / _DATABASE),
        "files": {str(path.relative_to(folder)): path.stat().st_size for path in _files(folder)},
    }


def rewind_records(folder: Path, position: dict[str, dict[str, int]]) -> None:
    """Remove whatever was recorded after a :func:`record_position`."""
    for path in _files(folder):
        size = position["files"].get(str(path.relative_to(folder)))
        if size is None:
            path.unlink()
        else:
            os.truncate(path, size)
    found = _last_rows(folder / _DATABASE)
    if not found:
        return
    with closing(sqlite3.connect(folder / _DATABASE)) as connection, connection:
        for name in found:
            if name in position["tables"]:
                kept = position["tables"][name]
                connection.execute(f"delete from [{name}] where id > ?", (kept,))
            else:
                connection.execute(f"drop table [{name}]")


def _files(folder):
    """Return the record files, which are only ever appended to."""
    return [*folder.glob(f"{RECORDS_FOLDER}/*.csv"), *folder.glob(f"{TENSORBOARD_FOLDER}/events*")]


def _last_rows(database):
    if not database.exists():
        return {}
    with closing(sqlite3.connect(database)) as connection:
        names = [
            name
            for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
            if not name.startswith("sqlite_")
        ]
        return {
            name: connection.execute(f"select max(id) from [{name}]").fetchone()[0] or 0
            for name in names
        }


def _load(file):
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    # A truncated file may fail in any way; a file that would run code is refused, too.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise CannotResume(f"{file.name} cannot be read ({reason})") from error
