"""FinishedRun: the folder of one finished run, read on demand."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...checked_files import open_checked
from ...errors import InputError
from ...files import is_storage_failure
from ...unpacked_size import check_unpacked_size
from .metric_names import QUERY_KEYS
from .row import Row, read_rows
from .run_environment import RunEnvironment
from .run_files import ENVIRONMENT_FILE, QUERIES_FILE, RESULT_FILE


@dataclass(frozen=True)
class FinishedRun:
    """One method on one fold under one seed; the scores of its queries stay on disk.

    Args:
        folder: of the run.
        rows: of its result.json, one for each space.
    """

    folder: Path
    rows: list[Row]

    @classmethod
    def read(cls, folder: Path) -> "FinishedRun":
        """Read the run in this folder.

        Raises:
            InputError: its result.json is missing or malformed.
        """
        return cls(folder, read_rows(folder / RESULT_FILE))

    @property
    def first(self) -> Row:
        """A row, for what the rows of all spaces share."""
        return self.rows[0]

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.first.method

    @property
    def key(self) -> tuple[int, int]:
        """(fold, seed); the fold is 0 where the benchmark has no folds."""
        return self.first.fold, self.first.seed

    def columns(self, space: str) -> slice:
        """Return the columns of the run's embeddings that are of one of its spaces.

        Args:
            space: its name.
        """
        ends = list(itertools.accumulate(row.dimension for row in self.rows))
        number = [row.space for row in self.rows].index(space)
        return slice(ends[number] - self.rows[number].dimension, ends[number])

    @property
    def environment(self) -> RunEnvironment:
        """The machine and the packages that the run used."""
        return RunEnvironment.read(self.folder / ENVIRONMENT_FILE)

    def query_scores(self, space: str, metric: str) -> np.ndarray | None:
        """Return the (Q,) float32 scores of the test queries, or None if they were not stored.

        Args:
            space: of the embedding.
            metric: a key of ``QUERY_KEYS``.

        Raises:
            InputError: the file of the queries is damaged.
        """
        return self._array(f"{space}/{QUERY_KEYS[metric]}")

    def query_indices(self) -> np.ndarray | None:
        """Return the (Q,) positions of the test queries in the data set, or None, likewise."""
        return self._array("test_indices")

    def _array(self, name):
        file = self.folder / QUERIES_FILE
        if not file.is_file():
            return None
        try:
            with open_checked(file) as stream:
                check_unpacked_size(stream)
                archive = np.load(stream)
                return archive[name] if name in archive.files else None
        # zipfile and pickle may raise anything.
        except Exception as error:
            if is_storage_failure(error):
                raise
            raise InputError(
                f"cannot read {file} ({type(error).__name__}): remove it for statistics over "
                f"seeds only, or remove {self.folder} and run again"
            ) from error
