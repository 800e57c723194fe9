"""What pydantic found wrong in a config, in one line: the value, what is expected, a remedy."""

import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from .optimization import RATE_TAGS
from .splits import SPLITS_TAGS
from .strict_model import NAME_PATTERN

_NAMES = (
    "must consist of letters, digits and . _ - and begin with a letter or a digit",
    "choose another name",
)
# Kind of problem -> what is expected and how to mend it, given the numbers of the constraint.
_PROBLEMS: Mapping[str, Callable[[Mapping[str, Any]], tuple[str, str]]] = {
    "missing": lambda _: ("is required", "add it"),
    "greater_than": lambda c: (f"must be greater than {c['gt']:g}", "raise it"),
    "greater_than_equal": lambda c: (f"must be at least {c['ge']:g}", "raise it"),
    "less_than": lambda c: (f"must be less than {c['lt']:,}", "lower it"),
    "less_than_equal": lambda c: (f"must be at most {c['le']:g}", "lower it"),
    "finite_number": lambda _: ("must be a finite number", "write one such as 1e-3"),
    "int_type": lambda _: ("must be a whole number", "write one such as 8, without quotes"),
    "float_type": lambda _: ("must be a number", "write one such as 1e-3, without quotes"),
    "bool_type": lambda _: ("must be true or false", "write one of these, without quotes"),
    "string_type": lambda _: ("must be text", "write a word, in quotes if it looks like a number"),
    "string_too_short": lambda _: ("must not be empty", "write some text"),
    "string_pattern_mismatch": lambda c: (
        _NAMES if NAME_PATTERN in c["pattern"] else (f"must match {c['pattern']}", "change it")
    ),
    "list_type": lambda _: ("must be a list", "write its values in brackets, such as [1, 2]"),
    "too_short": lambda c: (f"must have at least {_values(c['min_length'])}", "add some"),
    "too_long": lambda c: (f"must have at most {_values(c['max_length'])}", "remove some"),
    "literal_error": lambda c: (f"must be {c['expected']}", "choose one of these"),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type"),
        lambda _: ("must be a section of keys and values", "write these below it, indented"),
    ),
}
_WORDS = {True: "true", False: "false", None: "null"}


def validation_message(error: ValidationError) -> str:
    """Return the first problem that pydantic found, its place first, and the number of others.

    A ValueError that a section of the config raised is its own message.
    """
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"] if part not in (*SPLITS_TAGS, *RATE_TAGS))
    own = first.get("ctx", {}).get("error")
    problem = str(own) if isinstance(own, ValueError) else _in_words(first)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {problem}{more}" if where else f"{problem}{more}"


def _in_words(problem):
    kind, given = problem["type"], problem["input"]
    rule = _PROBLEMS.get(kind)
    if rule is None:
        expected = problem["msg"][0].lower() + problem["msg"][1:]
        return f"{expected}, got {_shown(given)}: change it"
    expected, remedy = rule(problem.get("ctx", {}))
    if kind == "missing":
        return f"this key {expected}: {remedy}"
    return f"{expected}, got {_shown(given)}: {remedy}"


def _values(number):
    return "1 value" if number == 1 else f"{number} values"


def _shown(value):
    """A value as YAML writes it where Python differs, shortened if it is long."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    return reprlib.repr(value)
