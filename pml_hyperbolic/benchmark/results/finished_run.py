"""FinishedRun: what one run's folder holds, read when asked for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...files import read_json
from .metric_names import QUERY_KEYS
from .run_files import ENVIRONMENT_FILE, QUERIES_FILE, RESULT_FILE

_NEEDED = {"method", "space", "seed", "test", "protocol_hash", "dimension", "total_dimension"}


@dataclass(frozen=True)
class FinishedRun:
    """One method on one fold under one seed; its queries stay on disk.

    Args:
        folder: of the run.
        rows: its result.json: a row for each space.
    """

    folder: Path
    rows: list[dict]

    @classmethod
    def read(cls, folder: Path) -> "FinishedRun":
        """The run that a folder holds.

        Raises:
            InputError: its result.json is not one.
        """
        file = folder / RESULT_FILE
        try:
            rows = read_json(file)
        except (OSError, ValueError):
            rows = None
        if (
            not isinstance(rows, list)
            or not rows
            or not all(isinstance(row, dict) and row.keys() >= _NEEDED for row in rows)
        ):
            raise InputError(
                f"{file} is not a result of `pml-hyperbolic run`: remove {folder} and run again"
            )
        return cls(folder, rows)

    @property
    def method(self) -> str:
        """Its name."""
        return self.rows[0]["method"]

    @property
    def key(self) -> tuple[int, int]:
        """(fold, seed); a benchmark without folds has fold 0 only."""
        return self.rows[0].get("fold", 0), self.rows[0]["seed"]

    @property
    def environment(self) -> dict:
        """What it ran on; empty where that is not known."""
        try:
            return read_json(self.folder / ENVIRONMENT_FILE)
        except (OSError, ValueError):
            return {}

    def query_scores(self, space: str, metric: str) -> np.ndarray | None:
        """(Q,) float32 scores of the test queries, None where the run kept none.

        Args:
            space: of the embedding.
            metric: a key of ``QUERY_KEYS``.
        """
        return self._array(f"{space}/{QUERY_KEYS[metric]}")

    def query_indices(self) -> np.ndarray | None:
        """(Q,) positions of the test queries in the data set, None where the run kept none."""
        return self._array("test_indices")

    def _array(self, name):
        file = self.folder / QUERIES_FILE
        if not file.is_file():
            return None
        try:
            # np.load leaves a file open that it cannot read.
            with file.open("rb") as stream, np.load(stream) as archive:
                return archive[name] if name in archive.files else None
        # np.load raises whatever zipfile and pickle do.
        except Exception as error:
            raise InputError(
                f"cannot read {file} ({type(error).__name__}): remove it for statistics over "
                f"seeds only, or remove {self.folder} and run again"
            ) from error
