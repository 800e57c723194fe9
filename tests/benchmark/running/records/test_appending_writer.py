"""AppendingWriter writes what record-keeper does, with one header whatever the disk says."""

import os

import pytest
from record_keeper import RecordKeeper, RecordWriter

from pml_hyperbolic.benchmark.running.records.appending_writer import AppendingWriter


def written(folder, writer):
    """Record three epochs with a writer: the content of the CSV file and of the table."""
    for epoch in range(3):
        keeper = RecordKeeper(record_writer=writer(str(folder)))
        keeper.update_records({"loss": epoch / 3, "rate": 0.1}, epoch, parent_name="training")
        keeper.update_records({"loss": 1.0, "rate": 0.2}, epoch + 10, parent_name="training")
        assert keeper.get_record("validation") == {}
        keeper.save_records()
    rows = keeper.query("select * from training")
    return (folder / "training.csv").read_bytes(), [tuple(row) for row in rows]


def test_it_writes_what_record_keeper_writes(tmp_path):
    ours = written(tmp_path / "ours", AppendingWriter)
    assert ours == written(tmp_path / "theirs", RecordWriter)
    assert len(ours[1]) == 6


@pytest.mark.parametrize("writer", [AppendingWriter, RecordWriter])
def test_a_disk_that_hides_the_file_gets_no_second_header(tmp_path, monkeypatch, writer):
    monkeypatch.setattr(os.path, "isfile", lambda path: False)
    content, _ = written(tmp_path, writer)
    # The day that record-keeper's own writer has one header, ours can go.
    assert content.count(b"~iteration~") == (1 if writer is AppendingWriter else 3)
