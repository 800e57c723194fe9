"""results.csv: a long table with one number a line, for pandas."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from ...escaping import csv_cell
from ...files import write_text
from .row import Row

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


def write_tidy(path: Path, benchmark: str, rows: Iterable[Row]) -> None:
    """Write results as a long table.

    ``split`` is "train", "validation", "test", or "concatenated": the test classes embedded by the
    models of all folds together, which every fold of a seed repeats.

    Args:
        path: of the CSV file.
        benchmark: its name.
        rows: of all runs.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TIDY_COLUMNS)
    for row in rows:
        run = (benchmark, row.protocol_hash, row.method, row.fold, row.seed, row.space)
        for split, levels in row.scores.items():
            for level, scores in levels.items():
                for metric, value in scores.items():
                    writer.writerow(map(csv_cell, (*run, split, level, metric, value)))
    write_text(path, text.getvalue())
