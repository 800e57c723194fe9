"""Records that are damaged or missing are noticed before a run is resumed from them."""

import errno
import sqlite3
from contextlib import closing

import pytest

from pml_hyperbolic.benchmark.running.records.record_files import (
    named_errors,
    record_position,
    rewind_records,
    seal_records,
)
from pml_hyperbolic.checked_files import file_checksum


def write(folder, *values):
    with closing(sqlite3.connect(folder / "records" / "logs.db")) as database, database:
        database.execute("create table if not exists training (id integer primary key, loss real)")
        database.executemany("insert into training (loss) values (?)", [(v,) for v in values])
    with (folder / "records" / "training.csv").open("a") as file:
        file.writelines(f"{value}\n" for value in values)


def losses(folder):
    with closing(sqlite3.connect(folder / "records" / "logs.db")) as database:
        return [loss for (loss,) in database.execute("select loss from training order by id")]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "records").mkdir()
    write(tmp_path, 0.5, 0.25)
    return tmp_path


def test_what_was_recorded_later_is_removed(folder):
    position = record_position(folder)
    write(folder, 0.125)
    with closing(sqlite3.connect(folder / "records" / "logs.db")) as database, database:
        database.execute("create table test (id integer primary key, score real)")
    (folder / "records" / "test.csv").write_text("1\n")
    rewind_records(folder, position)
    assert losses(folder) == [0.5, 0.25]
    assert (folder / "records" / "training.csv").read_text() == "0.5\n0.25\n"
    assert not (folder / "records" / "test.csv").exists()
    assert record_position(folder) == position


def change_a_value(folder):
    with closing(sqlite3.connect(folder / "records" / "logs.db")) as database, database:
        database.execute("update training set loss = 0.26 where id = 2")


DAMAGES = {
    "no database": (lambda f: (f / "records/logs.db").unlink(), "logs.db lacks training"),
    "an empty database": (
        lambda f: (f / "records/logs.db").write_bytes(b""),
        "logs.db lacks training",
    ),
    "half a database": (
        lambda f: (f / "records/logs.db").write_bytes((f / "records/logs.db").read_bytes()[:5000]),
        "malformed|disk image|not a database|damaged",
    ),
    "something else": (lambda f: (f / "records/logs.db").write_text("x" * 999), "not a database"),
    "another value": (change_a_value, "logs.db is damaged"),
    "no table": (lambda f: (f / "records/training.csv").unlink(), "training.csv is missing"),
    "half a table": (lambda f: (f / "records/training.csv").write_text("0"), "is shorter than"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed(folder, damage):
    position = record_position(folder)
    spoil, message = DAMAGES[damage]
    spoil(folder)
    with pytest.raises((ValueError, sqlite3.Error), match=message):
        rewind_records(folder, position)


def test_positions_of_earlier_versions_have_no_digest(folder):
    position = record_position(folder)
    del position["digest"]
    write(folder, 0.125)
    rewind_records(folder, position)
    assert losses(folder) == [0.5, 0.25]


def test_the_seal_is_the_one_of_sha256sum(folder):
    seal_records(folder)
    expected = f"{file_checksum(folder / 'records' / 'logs.db')}  logs.db\n"
    assert (folder / "records" / "logs.db.sha256").read_text() == expected


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("database or disk is full", "No space left"),
        ("disk I/O error", "Input/output error"),
        ("attempt to write a readonly database", "Read-only file system"),
        ("database disk image is malformed", "Input/output error"),
        ("unable to open database file", "No such file"),
    ],
)
def test_what_sqlite_says_of_the_disk_names_the_file(tmp_path, message, words):
    with pytest.raises(OSError, match=words) as raised, named_errors(tmp_path):
        raise sqlite3.OperationalError(message)
    assert raised.value.filename == str(tmp_path / "records" / "logs.db")


def test_other_errors_of_sqlite_stay(tmp_path):
    with pytest.raises(sqlite3.OperationalError, match="no such table"), named_errors(tmp_path):
        raise sqlite3.OperationalError("no such table: x")


def test_the_first_error_of_record_keeper_counts(tmp_path):
    def write():
        try:
            raise sqlite3.OperationalError("disk I/O error")
        except sqlite3.OperationalError:
            raise sqlite3.OperationalError("database is locked")  # noqa: B904

    with pytest.raises(OSError, match="Input/output error"), named_errors(tmp_path):
        write()


def test_a_record_that_cannot_be_written_is_named(tmp_path):
    # The system names a file where opening fails, and none where writing does.
    with pytest.raises(OSError, match="records") as caught, named_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "records")
