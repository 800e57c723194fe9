"""YAML without its traps."""

import errno
from pathlib import Path

import pytest

from pml_hyperbolic.benchmark.config.yaml_files import dump_yaml, parse_yaml, read_mapping
from pml_hyperbolic.errors import InputError

# Ten lines that stand for ten billion words.
BILLION = (
    "a0: &a0 ["
    + ", ".join("x" * 10)
    + "]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-2E5", -2e5),
        (".5e2", 50.0),
        ("1.5e+2", 150.0),
        ("3", 3),
        ("on", "on"),
        ("No", "No"),
        ("true", True),
        ("False", False),
        ("{on: embeddings}", {"on": "embeddings"}),
        ("", None),
        ("{a: &x {b: 1}, c: {<<: *x, d: 2}}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_values(text, value):
    parsed = parse_yaml(text, "here")
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {c: 1, c: 2}", "here, line 2: the key 'c' occurs twice"),
        ("a: 1\na: 1", "here, line 2: the key 'a' occurs twice"),
        ("a: [1", "here, line 1 is not valid YAML"),
        ("a: b: c", "here, line 1 is not valid YAML"),
        ("? [1, 2]\n: 3", "here, line 1: a key must be a single word"),
        ("{{a: b}: c}", "a key must be a single word"),
        ("b: 1\na: 2026-13-01", "here, line 2: got a date, expected .*: put text in quotes"),
        ("a: !!timestamp x", "here, line 1: got a date, expected"),
        ("a: !!binary aGk=", "here, line 1: got binary data, expected"),
        ("a: !!set {b, c}", "here, line 1: got a set, expected"),
        ("b: 1\na: x\0y", r"here, line 2 is not valid YAML: the character U\+0000 is not allowed"),
        ('a: "\\ud800"', "here, line 1: half of a pair of surrogates"),
        ("[" * 100_000, "here is not valid YAML: it is nested too deep, expected at most 50"),
        ("- " * 60 + "x", "here, line 1: nested more than 50 deep"),
        ("a: &a [1, *a]", "here, line 1: nested more than 50 deep, or an alias within itself"),
        (BILLION, "here, line 5: more than 100,000 values, those of aliases included: write fewer"),
        ("a: !!python/object:os.system {}", "here, line 1 is not valid YAML"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_yaml(text, "here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[1]", "mapping of keys, got a list"),
        (b"#" * (10 * 2**20 + 1), "it has more than 10,485,760 bytes"),
    ],
)
def test_files_that_are_no_mapping(tmp_path, content, message):
    path = tmp_path / "some.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_mapping(path)


def test_a_byte_order_mark_is_no_part_of_a_key(tmp_path):
    (tmp_path / "some.yaml").write_bytes(b"\xef\xbb\xbfname: a")
    assert read_mapping(tmp_path / "some.yaml") == {"name": "a"}


def test_dump_keeps_order_and_letters():
    content = {"b": "ü", "a": [1, 0.5]}
    text = dump_yaml(content)
    assert parse_yaml(text, "here") == content
    assert text.index("b:") < text.index("a:")
    assert "ü" in text


def test_a_disk_that_fails_says_nothing_about_the_file(tmp_path, monkeypatch):
    class Failing:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def read(self, size):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "open", lambda path, mode: Failing())
    with pytest.raises(OSError, match="Input/output error") as raised:
        read_mapping(tmp_path / "tiny.yaml")
    assert raised.value.filename == str(tmp_path / "tiny.yaml")
