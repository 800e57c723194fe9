"""A row is what result.json holds: typed, finite, and refused in one line where it is neither."""

import errno
import json
import os
import pickle
from pathlib import Path

import pytest

from pml_hyperbolic.benchmark.results.metric_names import METRICS
from pml_hyperbolic.benchmark.results.row import Row, read_rows, write_rows
from pml_hyperbolic.errors import InputError

SCORES = dict.fromkeys(METRICS, 0.5)
CONTENT = {
    "method": "hyp",
    "space": "hyperbolic",
    "fold": 1,
    "seed": 3,
    "epoch": 4,
    "seconds": 5.25,
    "dimension": 32,
    "total_dimension": 64,
    "protocol_hash": "abc",
    "data": "def",
    "method_hash": "123",
    "search_trials": None,
    "flat_twin_of": None,
    "different_parameters": False,
    "different_search_trials": False,
    "saturation": {"embedding_saturation": 0.25},
    "parameters": {"trunk": 18912, "head": 65600, "loss": 0},
    "geometry": {"c": 0.1, "clip_radius": 2.3, "inputs": "tangent"},
    "levels": ["leaf", "tree"],
    "test": {**SCORES, "recall_at_4": 1.0},
    "test_levels": {"tree": SCORES},
    "validation": SCORES,
    "train": SCORES,
}
# Keys that were added after the first version.
LATER = (
    "fold",
    "data",
    "search_trials",
    "flat_twin_of",
    "different_parameters",
    "different_search_trials",
    "parameters",
    "geometry",
    "levels",
    "test_levels",
    "train",
)


def without(*keys):
    return {key: value for key, value in CONTENT.items() if key not in keys}


@pytest.mark.parametrize(
    "content",
    [
        CONTENT,
        without(*LATER),
        {**CONTENT, "concatenated": SCORES, "concatenated_levels": {"tree": SCORES}},
        {**CONTENT, "a_key_of_a_later_version": [1, {"nested": None}]},
        {**CONTENT, "geometry": {"c": 0.1, "clip_radius": None, "inputs": "ball"}},
    ],
)
def test_content_survives_with_its_order(tmp_path, content):
    file = tmp_path / "result.json"
    text = json.dumps([content], indent=2) + "\n"
    file.write_text(text)
    (row,) = read_rows(file)
    assert row.plain() == content
    assert pickle.loads(pickle.dumps(row)) == row
    write_rows(file, [row])
    written = json.loads(file.read_text())
    assert written[0].pop("checksum")
    assert json.dumps(written, indent=2) + "\n" == text


def test_a_changed_digit_is_refused(tmp_path):
    file = tmp_path / "result.json"
    write_rows(file, [Row.parse(CONTENT)])
    assert file.read_text().count("0.5") > 0
    file.write_text(file.read_text().replace("0.5", "0.6", 1))
    with pytest.raises(InputError, match=r"\(its content is not the one .*\): remove .* again"):
        read_rows(file)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_a_disk_that_fails_is_no_damage(tmp_path, monkeypatch, number):
    """Nobody should remove a result because of it."""

    def fail(path, **options):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match=r"result\.json"):
        read_rows(tmp_path / "result.json")


def test_fields_by_attribute():
    row = Row.parse(CONTENT)
    assert (row.method, row.space, row.fold, row.seed) == ("hyp", "hyperbolic", 1, 3)
    assert row.parameters.budget == 18912 + 65600
    assert row.geometry.clip_radius == 2.3
    assert row.scores == {
        "train": {"leaf": SCORES},
        "validation": {"leaf": SCORES},
        "test": {"leaf": CONTENT["test"], "tree": SCORES},
        "concatenated": {"leaf": {}},
    }


def test_a_first_version_has_unknown_fields():
    row = Row.parse(without(*LATER))
    assert row.fold == 0
    assert row.data is row.parameters is row.geometry is row.different_parameters is None
    assert row.levels == []
    assert row.scores["test"] == {"": CONTENT["test"]}


def test_an_update_is_written_and_the_original_stays():
    row = Row.parse(without("search_trials"))
    updated = row.model_copy(update={"search_trials": 7, "concatenated": SCORES})
    assert updated.plain() == {**CONTENT, "search_trials": 7, "concatenated": SCORES}
    assert row.plain() == without("search_trials")
    with pytest.raises(ValueError, match="frozen"):
        row.search_trials = 7


HUGE = 10**400
# A part of a row that is malformed -> what the message says about it.
MALFORMED = {
    "not an object": (1, "expected an object, got 1"),
    "a list": ([CONTENT], r"expected an object, got \[\{"),
    "missing method": (without("method"), "method is missing"),
    "missing seed": (without("seed"), "seed is missing"),
    "missing test": (without("test"), "test is missing"),
    "missing dimension": (without("dimension"), "dimension is missing"),
    "missing total_dimension": (without("total_dimension"), "total_dimension is missing"),
    "missing protocol_hash": (without("protocol_hash"), "protocol_hash is missing"),
    "method a number": ({"method": 1}, "method: should be a valid string, got 1"),
    "method empty": ({"method": ""}, "method: .*at least 1 character, got ''"),
    "method no text": ({"method": "\ud800"}, "method: "),
    "seed a string": ({"seed": "0"}, "seed: should be a valid integer, got '0'"),
    "seed a float": ({"seed": 1.0}, "seed: should be a valid integer, got 1.0"),
    "seed a bool": ({"seed": True}, "seed: should be a valid integer, got True"),
    "seed negative": ({"seed": -1}, "seed: should be greater than or equal to 0, got -1"),
    "seed huge": ({"seed": HUGE}, "seed: should be less than"),
    "seed null": ({"seed": None}, "seed: should be a valid integer, got None"),
    "fold a list": ({"fold": [0]}, "fold: should be a valid integer"),
    "epoch of 0": ({"epoch": 0}, "epoch: should be greater than or equal to 1"),
    "epoch null": ({"epoch": None}, "epoch: should be a valid integer"),
    "seconds NaN": ({"seconds": float("nan")}, "seconds: should be a finite number, got nan"),
    "seconds infinite": ({"seconds": float("inf")}, "seconds: should be a finite number, got inf"),
    "seconds huge": ({"seconds": 1e300}, "seconds: should be less than"),
    "seconds a huge integer": ({"seconds": HUGE}, "seconds: should be"),
    "dimension of 0": ({"dimension": 0}, "dimension: should be greater"),
    "test a list": ({"test": [0.5]}, "test: expected an object"),
    "test empty": ({"test": {}}, "test: should have precision_at_1, r_precision, mean_average"),
    "test NaN": (
        {"test": {**SCORES, "r_precision": float("nan")}},
        "test.r_precision: should be a finite number, got nan",
    ),
    "test infinite": (
        {"test": {**SCORES, "r_precision": -float("inf")}},
        "test.r_precision: should be a finite number, got -inf",
    ),
    "test in percent": (
        {"test": {**SCORES, "r_precision": 50.0}},
        "test.r_precision: should be less than or equal to 1",
    ),
    "test a string": (
        {"test": {**SCORES, "r_precision": "0.5"}},
        "test.r_precision: should be a valid number, got '0.5'",
    ),
    "test nested": (
        {"test": {**SCORES, "r_precision": {"mean": 0.5}}},
        "test.r_precision: should be a valid number",
    ),
    "validation null": ({"validation": None}, "validation: expected an object, got None"),
    "train a number": ({"train": 0.5}, "train: expected an object"),
    "a level a number": (
        {"test_levels": {"tree": 0.5}},
        "test_levels.tree: expected an object, got 0.5",
    ),
    "concatenated a string": ({"concatenated": "x"}, "concatenated: expected an object"),
    "levels a string": ({"levels": "leaf"}, "levels: should be a valid list, got 'leaf'"),
    "levels of numbers": ({"levels": [1]}, "levels.0: should be a valid string"),
    "saturation above 1": ({"saturation": {"x": 2.0}}, "saturation.x: should be less"),
    "parameters a number": ({"parameters": 5}, "parameters: expected an object"),
    "parameters without head": ({"parameters": {"trunk": 5}}, "parameters.head is missing"),
    "parameters a string": (
        {"parameters": {"trunk": "5", "head": 5}},
        "parameters.trunk: should be a valid integer",
    ),
    "geometry a list": ({"geometry": [0.1]}, "geometry: expected an object"),
    "geometry without c": ({"geometry": {"inputs": "ball"}}, "geometry.c is missing"),
    "geometry not curved": (
        {"geometry": {"c": 0, "inputs": "ball"}},
        "geometry.c: should be greater than 0",
    ),
    "flat_twin_of a list": ({"flat_twin_of": ["hyp"]}, "flat_twin_of: should be a valid string"),
    "a flag a number": (
        {"different_parameters": 1},
        "different_parameters: should be a",
    ),
    "protocol_hash a dict": ({"protocol_hash": {}}, "protocol_hash: should be a valid string"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_rows_are_refused_in_one_line(tmp_path, case):
    content, words = MALFORMED[case]
    if isinstance(content, dict) and "method_hash" not in content:
        content = {**CONTENT, **content}
    file = tmp_path / "fold1_seed3" / "result.json"
    file.parent.mkdir()
    # Python writes and reads NaN and infinity, which JSON does not know.
    file.write_text(json.dumps([CONTENT | {"space": "euclidean"}, content]))
    with pytest.raises(InputError, match=rf"is not a result .*\(row 1: .*{words}") as caught:
        read_rows(file)
    message = str(caught.value)
    assert message.startswith(f"{file} is not a result of `pml-hyperbolic run`")
    assert message.endswith(f"remove {file.parent} and run again")
    assert "\n" not in message
    assert len(message) < 400 + 2 * len(str(file))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("", "Expecting value"),
        ("[{", "Expecting property name"),
        ("\x00\ufffd", "Expecting value"),
        ("{}", r"expected a list of rows, got \{\}"),
        ("[]", r"expected a list of rows, got \[\]"),
        ("1e999", "expected a list of rows, got inf"),
        ("1" * 5000, "Exceeds the limit|expected a list of rows"),
        ("[" * 100_000, "recursion"),
        (json.dumps([CONTENT, CONTENT | {"space": "euclidean", "seed": 4}]), "different runs"),
        (json.dumps([CONTENT, CONTENT]), "same space"),
    ],
)
def test_files_that_hold_no_run(tmp_path, text, words):
    file = tmp_path / "result.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=rf"is not a result .*({words}).*run again") as caught:
        read_rows(file)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text(tmp_path):
    file = tmp_path / "result.json"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not a result"):
        read_rows(file)
