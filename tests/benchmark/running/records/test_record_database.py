"""RecordDatabase executes what record-keeper's database does, and never keeps it locked."""

import sqlite3

import pytest
from record_keeper.db_utils import DBManager

from pml_hyperbolic.benchmark.running.records.record_database import RecordDatabase


def theirs(path):
    return DBManager(path, is_global=False)


@pytest.mark.parametrize("make", [RecordDatabase, theirs])
def test_rows_that_are_written_are_read(tmp_path, make):
    database = make(str(tmp_path / "logs.db"))
    database.write("training", {"step": [1, 2], "loss": [0.5, 0.25]})
    # A further column is added to the table.
    database.write("training", {"step": [3], "loss": [0.1], "rate": [1.0]})
    rows = database.query("select * from training")
    assert [tuple(row) for row in rows] == [(1, 1, 0.5, None), (2, 2, 0.25, None), (3, 3, 0.1, 1.0)]
    assert database.table_exists("training")
    assert not database.table_exists("validation")


@pytest.mark.parametrize("make", [RecordDatabase, theirs])
def test_a_statement_that_failed_is_rolled_back_and_locks_nothing(tmp_path, make):
    path = tmp_path / "logs.db"
    database = make(str(path))
    database.write("training", {"step": [1]})
    # The first row is in the transaction as the second fails.
    with pytest.raises(sqlite3.Error):
        database.execute("insert into training (step) values (?)", [(2,), (3, 4)], many=True)
    other = sqlite3.connect(path, timeout=0)
    try:
        other.execute("insert into training (step) values (5)")
        locked = False
    except sqlite3.OperationalError as error:
        locked = "locked" in str(error)
    finally:
        other.close()
    # The day that record-keeper closes its connection then, ours can go.
    assert locked == (make is theirs)
    if make is theirs:
        database.conn.close()
    else:
        assert [row["step"] for row in database.query("select step from training")] == [1]


def test_a_database_that_cannot_be_opened(tmp_path):
    database = RecordDatabase(str(tmp_path / "missing" / "logs.db"))
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        database.query("select 1")
