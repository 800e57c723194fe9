"""Reading records of JSON files that a run can do without: absent, damaged or as written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ...checked_files import read_checked_json
from ...errors import InputError, message_of
from .row import first_problem

_Record = TypeVar("_Record")


def read_record(file: Path, validate: Callable[[Any], _Record], remedy: str) -> _Record:
    """Return what ``validate`` makes of the content of a JSON file.

    Args:
        file: to read.
        validate: from plain data to a record; pydantic's, or one that raises ValueError.
        remedy: what to do about a damaged file, the end of the message.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read now.
        InputError: it is damaged, or holds something else.
    """
    try:
        return validate(read_checked_json(file))
    # A disk that fails says nothing of the content.
    except OSError:
        raise
    except ValidationError as error:
        problem = first_problem(error)
    # Deeply nested lists exhaust the JSON parser's recursion.
    except (ValueError, RecursionError) as error:
        problem = message_of(error)
    raise InputError(f"{file} is damaged ({problem}): {remedy}")
