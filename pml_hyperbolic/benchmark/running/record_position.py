"""How far a run's records reach, so that a resumed run does not write anything twice."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ..results.run_files import RECORDS_FOLDER, TENSORBOARD_FOLDER

_DATABASE = Path(RECORDS_FOLDER, "logs.db")


def record_position(folder: Path) -> dict[str, dict[str, int]]:
    """The last row of every sqlite table and the size of every other record file.

    Args:
        folder: of the run, its records written out and flushed.
    """
    return {
        "tables": _last_rows(folder / _DATABASE),
        "files": {str(path.relative_to(folder)): path.stat().st_size for path in _files(folder)},
    }


def rewind_records(folder: Path, position: dict[str, dict[str, int]]) -> None:
    """Take away whatever was recorded after a :func:`record_position`."""
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
    """Files that are only ever appended to."""
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
