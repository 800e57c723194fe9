"""Files are whole or absent."""

import os

import pytest

from pml_hyperbolic.files import read_json, write_atomically, write_json, write_text


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


@pytest.mark.parametrize("survives", [True, False])
def test_a_file_waits_for_the_disk_if_it_is_to_survive_a_power_cut(tmp_path, monkeypatch, survives):
    waited = []
    monkeypatch.setattr(os, "fsync", waited.append)
    path = tmp_path / "a.txt"
    write_atomically(path, lambda part: part.write_text("new"), survives_power_cut=survives)
    assert len(waited) == survives
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
