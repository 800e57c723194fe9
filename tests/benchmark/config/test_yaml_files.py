"""YAML without its traps."""

import pytest

from pml_hyperbolic.benchmark.config.yaml_files import dump_yaml, parse_yaml, read_mapping
from pml_hyperbolic.errors import InputError


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
        ("a: 2026-13-01", "here is not valid YAML: month"),
        ("a: !!python/object:os.system {}", "here, line 1 is not valid YAML"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_yaml(text, "here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read"), (b"\xff\xfe\x00", "not UTF-8"), (b"[1]", "mapping of keys, got list")],
)
def test_files_that_are_no_mapping(tmp_path, content, message):
    path = tmp_path / "some.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_mapping(path)


def test_dump_keeps_order_and_letters():
    content = {"b": "ü", "a": [1, 0.5]}
    text = dump_yaml(content)
    assert parse_yaml(text, "here") == content
    assert text.index("b:") < text.index("a:")
    assert "ü" in text
