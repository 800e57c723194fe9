"""What pydantic finds wrong is said in one line of our own words."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from pml_hyperbolic.benchmark.config.strict_model import NAME_PATTERN, StrictModel
from pml_hyperbolic.benchmark.config.validation_message import validation_message


class Section(StrictModel):
    a: int = 0
    b: str = ""


STRICT = {"strict": True}


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Annotated[float, Field(gt=0)], 0.0, "must be greater than 0, got 0.0: raise it"),
        (Annotated[float, Field(ge=0.5)], 0.25, "must be at least 0.5, got 0.25: raise it"),
        (Annotated[int, Field(lt=9)], 9, "must be less than 9, got 9: lower it"),
        (Annotated[float, Field(le=100)], 101, "must be at most 100, got 101: lower it"),
        (int, True, "must be a whole number, got true: write one such as 8, without quotes"),
        (int, 1.5, "must be a whole number, got 1.5: write one such as 8, without quotes"),
        (float, "x", "must be a number, got 'x': write one such as 1e-3, without quotes"),
        (bool, None, "must be true or false, got null: write one of these, without quotes"),
        (str, 3, "must be text, got 3: write a word, in quotes if it looks like a number"),
        (Annotated[str, Field(min_length=1)], "", "must not be empty, got '': write some text"),
        (list[int], 3, "must be a list, got 3: write its values in brackets, such as [1, 2]"),
        (Annotated[list[int], Field(min_length=1)], [], "must have at least 1 value, got []: add"),
        (Annotated[list[int], Field(max_length=2)], [1, 2, 3], "at most 2 values, got [1, 2, 3]"),
        (Literal["a", "b"], "c", "must be 'a' or 'b', got 'c': choose one of these"),
        (Section, 3, "must be a section of keys and values, got 3: write these below it"),
        (dict[str, int], [1], "must be a section of keys and values, got [1]: write these below"),
        (Section, {"c": 1}, "unknown key 'c': known: a, b"),
        (Section, {"a": "x"}, "a: must be a whole number, got 'x': write one"),
        (Section, {"a": "x", "b": 1}, "without quotes (and 1 more)"),
        (Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")], "/", "begin with a letter or a digit"),
        (Annotated[str, Field(pattern="^x$")], "y", "must match ^x$, got 'y': change it"),
        (Annotated[int, Field(multiple_of=2)], 3, "input should be a multiple of 2, got 3: change"),
        (int, "x" * 500, "must be a whole number, got 'xxxxxxxxxxxx...xxxxxxxxxxxxx': write one"),
    ],
)
def test_messages(kind, value, message):
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(kind, config=None if kind is Section else STRICT).validate_python(value)
    said = validation_message(refusal.value)
    assert message in said
    assert "\n" not in said


def test_a_required_key():
    class Needed(StrictModel):
        name: str

    with pytest.raises(ValidationError) as refusal:
        Needed.model_validate({})
    assert validation_message(refusal.value) == "name: this key is required: add it"
