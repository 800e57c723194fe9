"""What a run stored is read, or the reader says why it cannot be."""

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from pml_hyperbolic.benchmark.measuring import run_contents
from pml_hyperbolic.benchmark.measuring.run_contents import learning_curve
from pml_hyperbolic.checked_files import file_checksum

SPACE, METRIC = "euclidean", "mean_average_precision_at_r"


@pytest.fixture
def run(tmp_path):
    """A run with records of two epochs, sealed."""
    file = tmp_path / "records" / "logs.db"
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            f'create table validation_{SPACE} (id integer, "~iteration~" integer, "{METRIC}" real)'
        )
        rows = [(1, 1, 0.25), (2, 2, 0.5)]
        database.executemany(f"insert into validation_{SPACE} values (?, ?, ?)", rows)
    file.with_name("logs.db.sha256").write_text(f"{file_checksum(file)}  logs.db\n")
    return SimpleNamespace(folder=tmp_path, rows=[SimpleNamespace(space=SPACE)])


def test_the_curve_of_an_intact_run(run):
    assert learning_curve(run, SPACE) == {1: 0.25, 2: 0.5}
    assert learning_curve(run, "hyperbolic") == {}


@pytest.mark.parametrize(
    ("message", "sealed", "fails"),
    [
        ("disk I/O error", True, True),
        ("disk I/O error", False, True),
        # SQLite says so of a page that it cannot read, too.
        ("database disk image is malformed", True, True),
        ("database disk image is malformed", False, False),
        ("no such table: validation_euclidean", True, False),
    ],
)
def test_a_disk_that_fails_is_no_run_without_a_curve(run, monkeypatch, message, sealed, fails):
    def refuse(*arguments, **options):
        raise sqlite3.OperationalError(message)

    if not sealed:
        (Path(run.folder) / "records" / "logs.db.sha256").unlink()
    monkeypatch.setattr(run_contents.sqlite3, "connect", refuse)
    if not fails:
        assert learning_curve(run, SPACE) == {}
        return
    with pytest.raises(OSError, match=r"logs\.db"):
        learning_curve(run, SPACE)
