"""UntrainedScores: what the networks of a protocol score before any training, as stored."""

from pathlib import Path

from pydantic import Field, TypeAdapter

from ...checked_files import write_checked_json
from .record_file import read_record
from .row import Count, Index, Record, Scores, TestScores, Text

UNTRAINED_TRUNK = "untrained trunk"
UNTRAINED_HEAD = "untrained head"


class UntrainedScores(Record):
    """The scores of one untrained embedding on the test classes of one fold, under one seed.

    Attributes:
        name: ``UNTRAINED_TRUNK`` or ``UNTRAINED_HEAD``.
        fold: of the protocol's splits, from 0.
        seed: that the embedding starts from; None in files of earlier versions, which have the
            first seed of the protocol only.
        dimension: of the embedding.
        test: metric -> value on the test classes; it has all of ``METRICS``.
        test_levels: name of a coarser level -> metric -> value.
    """

    name: Text
    fold: Index
    seed: Index | None = None
    dimension: Count
    test: TestScores
    test_levels: dict[Text, Scores] = Field(default_factory=dict)


def write_untrained(file: Path, lines: list[UntrainedScores]) -> None:
    """Write the lines of all folds and seeds as JSON, with a checksum."""
    write_checked_json(file, [line.model_dump() for line in lines])


def read_untrained(file: Path) -> list[UntrainedScores]:
    """Return the lines that :func:`write_untrained` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it cannot be read, or holds something else.
    """
    remedy = "remove it and run the benchmark again, which keeps its finished runs"
    return read_record(file, _lines, remedy)


def _lines(content):
    lines = TypeAdapter(list[UntrainedScores]).validate_python(content)
    if not lines:
        raise ValueError("it has no scores")
    return lines
