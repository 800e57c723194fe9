"""The records of a run: how far they reach, what they hold, and the way back to an earlier state.

record-keeper writes them: one SQLite database, and CSV files that are appended to and never read.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ....checked_files import file_checksum
from ....files import named_disk_failures, named_file, write_text
from ...results.run_files import DATABASE_FILE, RECORDS_FOLDER, SEAL_FILE, TENSORBOARD_FOLDER


@contextmanager
def named_errors(folder: Path) -> Iterator[None]:
    """Let the failures of a disk within the block be OSErrors that name where they happened.

    SQLite has messages of its own, and the system names no file where writing to one fails.

    Args:
        folder: of the run.
    """
    # record-keeper tries again, and what is wrong then may only follow from the first failure.
    with named_disk_failures(_database(folder)), named_file(folder / RECORDS_FOLDER):
        yield


def record_position(folder: Path) -> dict[str, Any]:
    """Return how far the records reach: what a state needs to be resumed from.

    Args:
        folder: of the run; its records have been written and flushed.

    Returns:
        The last row of every SQLite table, a digest of all rows, and the size of every other file.
    """
    with named_errors(folder):
        return {
            "tables": _last_rows(folder),
            "digest": _digest(folder),
            "files": {
                str(path.relative_to(folder)): path.stat().st_size for path in _files(folder)
            },
        }


def rewind_records(folder: Path, position: dict[str, Any]) -> None:
    """Remove whatever was recorded after a :func:`record_position`.

    Raises:
        ValueError: what was recorded before it is missing or has changed.
        sqlite3.Error: the database is damaged.
    """
    sizes = dict(position["files"])
    for path in _files(folder):
        name = str(path.relative_to(folder))
        size = sizes.pop(name, None)
        if size is None:
            path.unlink()
        elif path.stat().st_size < size:
            raise ValueError(f"{name} is shorter than it was")
        else:
            os.truncate(path, size)
    if sizes:
        raise ValueError(f"{next(iter(sizes))} is missing")
    found = _last_rows(folder)
    missing = position["tables"].keys() - found.keys()
    if missing:
        raise ValueError(f"{_database(folder).name} lacks {', '.join(sorted(missing))}")
    if not found:
        return
    with closing(sqlite3.connect(_database(folder))) as connection, connection:
        for name in found:
            if name in position["tables"]:
                kept = position["tables"][name]
                connection.execute(f"delete from [{name}] where id > ?", (kept,))
            else:
                connection.execute(f"drop table [{name}]")
    # States of earlier versions have no digest.
    if position.get("digest", _digest(folder)) != _digest(folder):
        raise ValueError(f"{_database(folder).name} is damaged")


def seal_records(folder: Path) -> None:
    """Write a checksum of a finished run's database beside it, in the format of ``sha256sum``."""
    checksum = file_checksum(_database(folder))
    write_text(folder / RECORDS_FOLDER / SEAL_FILE, f"{checksum}  {DATABASE_FILE}\n")


def _database(folder):
    return folder / RECORDS_FOLDER / DATABASE_FILE


def _files(folder):
    """Return the record files, which are only ever appended to."""
    return [*folder.glob(f"{RECORDS_FOLDER}/*.csv"), *folder.glob(f"{TENSORBOARD_FOLDER}/events*")]


def _tables(connection):
    return [
        name
        for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
        if not name.startswith("sqlite_")
    ]


def _last_rows(folder):
    if not _database(folder).exists():
        return {}
    with closing(sqlite3.connect(_database(folder))) as connection:
        return {
            name: connection.execute(f"select max(id) from [{name}]").fetchone()[0] or 0
            for name in _tables(connection)
        }


def _digest(folder):
    """Hash the rows of all tables."""
    digest = hashlib.sha256()
    if _database(folder).exists():
        with closing(sqlite3.connect(_database(folder))) as connection:
            for name in sorted(_tables(connection)):
                digest.update(name.encode())
                for row in connection.execute(f"select * from [{name}] order by id"):
                    digest.update(repr(row).encode())
    return digest.hexdigest()
