"""results.csv: one number a line, for pandas."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...files import write_text

TIDY_COLUMNS = (
    "benchmark",
    "protocol_hash",
    "method",
    "fold",
    "seed",
    "space",
    "split",
    "level",
    "metric",
    "value",
)


def write_tidy(path: Path, benchmark: str, rows: Iterable[dict]) -> None:
    """Write results as a long table.

    ``split`` is train, validation, test, or concatenated: the test classes embedded by the models
    of all folds together, which every fold of a seed repeats.

    Args:
        path: of the CSV file.
        benchmark: its name.
        rows: as in results.json.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TIDY_COLUMNS)
    for row in rows:
        known = [row[name] for name in ("protocol_hash", "method", "fold", "seed", "space")]
        writer.writerows([benchmark, *known, *numbers] for numbers in _numbers(row))
    write_text(path, text.getvalue())


def _numbers(row: dict) -> Iterator[tuple[str, str, str, float]]:
    """(split, level, metric, value) of one result."""
    finest = row["levels"][0]
    for split in ("train", "validation", "test", "concatenated"):
        levels = {finest: row.get(split, {}), **row.get(f"{split}_levels", {})}
        for level, scores in levels.items():
            for metric, value in scores.items():
                yield split, level, metric, value
