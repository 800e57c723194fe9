"""Files are whole or absent."""

import errno
import os
import sqlite3
from collections import namedtuple
from pathlib import Path

import pytest

from pml_hyperbolic.files import (
    atomic_file,
    disk_failure,
    explain_os_error,
    is_storage_failure,
    part_of,
    read_json,
    write_atomically,
    write_json,
    write_text,
)


def test_round_trip(tmp_path):
    content = [{"a": 0.1, "b": None, "c": [1, "ü"]}]
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content
    write_text(tmp_path / "x.json", "[]")
    assert read_json(tmp_path / "x.json") == []
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_text(path, "old")

    def fail(part):
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"


def test_a_write_that_fails_leaves_no_part_and_names_the_file(tmp_path):
    path = tmp_path / "x.json"

    def fail(part):
        part.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left") as raised:
        write_atomically(path, fail)
    assert list(tmp_path.iterdir()) == []
    message = explain_os_error(raised.value)
    assert message == (
        f"{path} cannot be used: the disk is full: free some space there or choose another "
        f"folder, then run again (finished work is kept)"
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "the disk is full: free"),
        (errno.EIO, "an input/output error: check"),
        (errno.EROFS, "may not be written: make it"),
        (errno.EACCES, "may not be written: make it"),
        (errno.ENOENT, "was removed meanwhile: run again"),
        (errno.EEXIST, "said that it is not there, but it is: check the disk"),
    ],
)
def test_failures_of_the_disk_have_a_remedy(number, text):
    error = OSError(number, os.strerror(number), "some/file")
    assert is_storage_failure(error)
    assert explain_os_error(error).startswith("some/file cannot be used: ")
    assert text in explain_os_error(error)
    assert "\n" not in explain_os_error(error)


def test_other_errors_are_not_failures_of_the_disk():
    assert not is_storage_failure(OSError(errno.EPIPE, "Broken pipe"))
    assert not is_storage_failure(ValueError())
    assert "Broken pipe" in explain_os_error(OSError(errno.EPIPE, "Broken pipe"))


def test_links_are_never_followed(tmp_path):
    """A stranger's folder may hold links in the place of a file or of its part."""
    outside = tmp_path / "outside"
    outside.write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "x.json").symlink_to(outside)
    part_of(folder / "x.json").symlink_to(outside)
    write_text(folder / "x.json", "new")
    assert outside.read_text() == "mine"
    assert not (folder / "x.json").is_symlink()
    assert (folder / "x.json").read_text() == "new"
    assert [path.name for path in folder.iterdir()] == ["x.json"]


@pytest.mark.parametrize("is_link", [True, False])
def test_a_part_that_another_process_makes_meanwhile_is_not_written(tmp_path, monkeypatch, is_link):
    """Between the removal of an old part and the making of the new one, anything may appear."""
    outside, part = tmp_path / "outside", part_of(tmp_path / "x.json")
    outside.write_text("mine")

    def unlink(path, missing_ok=False):
        assert path == part
        monkeypatch.undo()
        part.symlink_to(outside) if is_link else part.write_text("mine")

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "x.json", "new")
    assert outside.read_text() == "mine"
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("survives", [True, False])
def test_a_file_waits_for_the_disk_if_it_is_to_survive_a_power_cut(tmp_path, monkeypatch, survives):
    waited = []
    monkeypatch.setattr(os, "fsync", waited.append)
    path = tmp_path / "a.txt"
    with atomic_file(path, survives_power_cut=survives) as file:
        file.write(b"new")
    assert len(waited) == survives
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_disk_is_found_behind_the_errors_of_libraries():
    def wrapped(inner):
        try:
            try:
                raise inner
            except Exception:
                raise KeyError("a library's own")  # noqa: B904
        except KeyError as error:
            return error

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "some/file")
    assert disk_failure(wrapped(full), "x.db") is full
    unnamed = disk_failure(wrapped(OSError(errno.EIO, "broken")), "x.db")
    assert (unnamed.errno, unnamed.filename) == (errno.EIO, "x.db")
    found = disk_failure(wrapped(sqlite3.OperationalError("disk I/O error")), "x.db")
    assert (found.errno, found.filename) == (errno.EIO, "x.db")
    assert disk_failure(wrapped(sqlite3.OperationalError("no such table")), "x.db") is None
    # A missing file may have been a question, not a failure.
    assert disk_failure(wrapped(FileNotFoundError(errno.ENOENT, "", "x")), "x.db") is None


def test_sqlite_says_too_little_of_what_it_cannot_open(tmp_path, monkeypatch):
    error = sqlite3.OperationalError("unable to open database file")

    def found(folder):
        return disk_failure(error, folder / "x.db").errno

    assert found(tmp_path / "gone") == errno.ENOENT
    assert found(tmp_path) == errno.EIO
    usage = namedtuple("Usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(1000))
    assert found(tmp_path) == errno.ENOSPC
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    assert found(tmp_path) == errno.EROFS


@pytest.mark.parametrize("waits", [True, False])
def test_waiting_for_the_disk_can_be_left_out(tmp_path, monkeypatch, waits):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with atomic_file(tmp_path / "x", survives_power_cut=waits) as file:
        file.write(b"content")
    assert len(synced) == waits
    assert (tmp_path / "x").read_bytes() == b"content"
