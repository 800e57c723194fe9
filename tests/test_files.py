"""Files are whole or absent."""

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
