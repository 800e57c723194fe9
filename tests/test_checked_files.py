"""Checked files: damage of any kind is noticed, and other programs read the files as ever."""

import errno
import json
import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from pml_hyperbolic import checked_files
from pml_hyperbolic.checked_files import (
    DamagedFile,
    checked_size,
    open_checked,
    read_checked_json,
    read_checked_text,
    write_checked,
    write_checked_json,
    write_checked_text,
)

ARRAY = np.arange(24, dtype=np.float32).reshape(4, 6)
ROWS = [{"score": 0.1, "name": "ü"}, {"score": 1e-300, "name": None}]
TEXT = "name: tiny\nvalues: [1, 0.5]\n"


def load_torch(file):
    return torch.load(file, weights_only=True)["a"].numpy()


def load_archive(file):
    with np.load(file) as archive:
        return archive["a"]


WRITERS = {
    "npy": (lambda file: np.save(file, ARRAY), np.load),
    "npz": (lambda file: np.savez(file, a=ARRAY), load_archive),
    "compressed": (lambda file: np.savez_compressed(file, a=ARRAY), load_archive),
    "pt": (lambda file: torch.save({"a": torch.from_numpy(ARRAY)}, file), load_torch),
}


def write_binary(path, kind):
    write_checked(path, WRITERS[kind][0])


def read_binary(path, kind):
    with open_checked(path) as file:
        return WRITERS[kind][1](file)


KINDS = {
    **{
        kind: (
            lambda path, kind=kind: write_binary(path, kind),
            lambda path, kind=kind: read_binary(path, kind).tolist(),
            ARRAY.tolist(),
        )
        for kind in WRITERS
    },
    "object": (lambda path: write_checked_json(path, ROWS[0]), read_checked_json, ROWS[0]),
    "list": (lambda path: write_checked_json(path, ROWS), read_checked_json, ROWS),
    "text": (lambda path: write_checked_text(path, TEXT), read_checked_text, TEXT),
}


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_and_equal_bytes(tmp_path, kind):
    write, read, content = KINDS[kind]
    write(tmp_path / "one")
    write(tmp_path / "two")
    assert read(tmp_path / "one") == content
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["one", "two"]
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_bit_is_noticed_or_harmless(tmp_path, kind):
    """A flipped bit never gives other content; in a binary file it is always noticed."""
    write, read, content = KINDS[kind]
    path = tmp_path / "file"
    write(path)
    whole = path.read_bytes()
    bits = range(8 * len(whole))
    chosen = random.Random(0).sample(bits, min(len(bits), 100))
    # A bit of every letter of the line with the checksum, wherever it stands.
    chosen += [*bits[: 8 * 100 : 7], *bits[-8 * 100 :: 7]]
    for bit in chosen:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        if kind in ("object", "list"):
            # White space does not matter, and half of a letter is no text.
            with suppress(ValueError):
                assert read(path) == content
        else:
            with pytest.raises(DamagedFile, match="checksum"):
                read(path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_shorter_file_is_noticed(tmp_path, kind):
    write, read, content = KINDS[kind]
    path = tmp_path / "file"
    write(path)
    whole = path.read_bytes()
    for size in [*range(0, len(whole) - 100, 50), *range(max(len(whole) - 100, 0), len(whole))]:
        path.write_bytes(whole[:size])
        try:
            found = read(path)
        # The format itself notices it.
        except Exception:
            continue
        # An empty text is no mapping. Otherwise the first letters of the checksum are left, or the
        # line break of a JSON file is missing.
        assert found == content or (kind, size) == ("text", 0)


@pytest.mark.parametrize("kind", WRITERS)
def test_other_programs_open_the_file(tmp_path, kind):
    path = tmp_path / "file"
    write_binary(path, kind)
    assert np.array_equal(WRITERS[kind][1](path), ARRAY)
    with path.open("rb") as file:
        assert checked_size(file) == path.stat().st_size - len(
            "\n# pml_hyperbolic sha256 " + 64 * "0" + "\n"
        )


def test_arrays_can_be_mapped(tmp_path):
    write_binary(tmp_path / "x.npy", "npy")
    assert np.array_equal(np.load(tmp_path / "x.npy", mmap_mode="r"), ARRAY)


def test_texts_and_json_are_valid_for_others(tmp_path):
    write_checked_text(tmp_path / "x.yaml", TEXT)
    assert yaml.safe_load((tmp_path / "x.yaml").read_text()) == yaml.safe_load(TEXT)
    write_checked_json(tmp_path / "x.json", ROWS)
    first, second = json.loads((tmp_path / "x.json").read_text())
    assert first.pop("checksum").startswith("pml_hyperbolic sha256 ")
    assert [first, second] == ROWS


def test_files_of_earlier_versions_are_read(tmp_path):
    for kind, (write, _) in WRITERS.items():
        with (tmp_path / kind).open("wb") as file:
            write(file)
        assert np.array_equal(read_binary(tmp_path / kind, kind), ARRAY)
    (tmp_path / "x.json").write_text(json.dumps(ROWS))
    assert read_checked_json(tmp_path / "x.json") == ROWS
    (tmp_path / "x.yaml").write_text(TEXT)
    assert read_checked_text(tmp_path / "x.yaml") == TEXT


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_said_by_its_name_and_leaves_the_old_file(tmp_path, monkeypatch, kind):
    path = tmp_path / "file"
    write_binary(path, kind)
    before = path.read_bytes()

    def fail(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full(checked_files._HashingStream):
        def __init__(self, file):
            class File:
                write = fail

            super().__init__(File())

    monkeypatch.setattr(checked_files, "_HashingStream", Full)
    with pytest.raises(OSError, match="No space left") as raised:
        write_binary(path, kind)
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fails_while_reading_is_named(tmp_path, monkeypatch):
    file = tmp_path / "arrays"
    write_checked(file, lambda stream: np.savez(stream, x=np.arange(4)))

    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="arrays") as caught, open_checked(file):
        pass
    assert caught.value.errno == errno.EIO
    assert caught.value.filename == str(file)


def test_what_was_verified_is_what_is_read(tmp_path):
    file = tmp_path / "array.npy"
    write_checked(file, lambda stream: np.save(stream, np.arange(4)))
    with open_checked(file) as stream:
        file.write_bytes(b"another file by now")
        assert np.load(stream).tolist() == [0, 1, 2, 3]
