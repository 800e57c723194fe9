"""A record is read, absent, or damaged; the message says what to do about it."""

import pytest

from pml_hyperbolic.benchmark.results.record_file import read_record
from pml_hyperbolic.benchmark.results.row import ParameterCounts
from pml_hyperbolic.errors import InputError


def read(file):
    return read_record(file, ParameterCounts.model_validate, "remove it")


def test_a_record_is_read(tmp_path):
    (tmp_path / "x.json").write_text('{"trunk": 1, "head": 2}')
    assert read(tmp_path / "x.json") == ParameterCounts(trunk=1, head=2)


def test_an_absent_file_is_not_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "Expecting property name"),
        ('{"trunk": 1}', "head is missing"),
        ('{"trunk": 1, "head": -2}', "head: should be greater than or equal to 0, got -2"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_damaged_file_is_named_with_its_remedy(tmp_path, text, problem):
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"x\.json is damaged \(.*\): remove it$") as error:
        read(file)
    assert problem in str(error.value)
