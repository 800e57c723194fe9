"""UntrainedScores: what the networks of a protocol score before any training, as stored."""

from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError, field_validator

from ...errors import InputError
from ...files import read_json, write_json
from .metric_names import METRICS
from .row import Count, Index, Record, Scores, Text, first_problem


class UntrainedScores(Record):
    """The scores of one untrained embedding on the test classes of one fold.

    Attributes:
        name: "untrained trunk" or "untrained head".
        fold: of the protocol's splits, from 0.
        dimension: of the embedding.
        test: metric -> value on the test classes; it has all of ``METRICS``.
        test_levels: name of a coarser level -> metric -> value.
    """

    name: Text
    fold: Index
    dimension: Count
    test: Scores
    test_levels: dict[Text, Scores] = Field(default_factory=dict)

    @field_validator("test")
    @classmethod
    def _check_test(cls, test: Scores) -> Scores:
        lacking = [metric for metric in METRICS if metric not in test]
        if lacking:
            raise ValueError(f"should have {', '.join(lacking)}")
        return test


def write_untrained(file: Path, lines: list[UntrainedScores]) -> None:
    """Write the lines of all folds as JSON, atomically."""
    write_json(file, [line.model_dump() for line in lines])


def read_untrained(file: Path) -> list[UntrainedScores]:
    """Return the lines that :func:`write_untrained` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it cannot be read, or holds something else.
    """
    try:
        lines = TypeAdapter(list[UntrainedScores]).validate_python(read_json(file))
        if not lines:
            raise ValueError("it has no scores")
        return lines
    except FileNotFoundError:
        raise
    except ValidationError as error:
        problem = first_problem(error)
    except (OSError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
    raise InputError(
        f"{file} is damaged ({problem}): remove it and run the benchmark again, which keeps its "
        f"finished runs"
    )
