"""What reports read of a run's folder beyond its rows: embeddings and learning curves."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from ...analysis import nearest_neighbors
from ...checked_files import file_checksum
from ...distances import PoincareDistance
from ...errors import InputError, message_of
from ...files import disk_failure, is_storage_failure, read_bytes
from ..results.finished_run import FinishedRun
from ..results.metric_names import PRIMARY
from ..results.row import Row
from ..results.run_files import (
    DATABASE_FILE,
    EMBEDDINGS_FILE,
    QUERIES_FILE,
    RECORDS_FOLDER,
    SEAL_FILE,
)
from .run_scores import EmbeddedTestSet, load_test

_LOG = logging.getLogger(__name__)


def test_set(run: FinishedRun, space: str) -> EmbeddedTestSet:
    """Return the stored embeddings of the test images, in the columns of one space.

    Args:
        run: a finished run.
        space: one of its spaces.

    Raises:
        InputError: the files are missing or damaged.
    """
    try:
        loaded = load_test(run.folder)
        if len(loaded.embeddings) != len(loaded.labels):
            raise ValueError("embeddings and labels differ in number")
    except FileNotFoundError as error:
        raise InputError(
            f"{run.folder} has no {Path(error.filename).name}: run it again to have pictures of it"
        ) from None
    # zipfile and NumPy raise what they like for damaged files.
    except Exception as error:
        if is_storage_failure(error):
            raise
        reason = message_of(error)
        raise InputError(
            f"{run.folder}: {EMBEDDINGS_FILE} or {QUERIES_FILE} cannot be read ({reason}): remove "
            f"the folder and run it again"
        ) from error
    embeddings = loaded.embeddings[:, run.columns(space)]
    if not torch.isfinite(embeddings).all():
        raise InputError(
            f"{run.folder}: {EMBEDDINGS_FILE} holds NaN or infinite values: lower the method's "
            f"learning rates, remove the folder and run it again"
        )
    return loaded._replace(embeddings=embeddings)


def distance_of(row: Row) -> PoincareDistance | None:
    """Return the distance that ranks the space of a row; None for cosine."""
    if row.geometry is None:
        return None
    geometry = row.geometry
    return PoincareDistance(geometry.c, geometry.clip_radius, geometry.inputs, geometry.clip)


def learning_curve(run: FinishedRun, space: str) -> dict[int, float]:
    """Return epoch -> MAP@R on the validation classes, empty where nothing was recorded."""
    file = run.folder / RECORDS_FOLDER / DATABASE_FILE
    if not file.is_file() or space not in {row.space for row in run.rows}:
        return {}
    seal = file.with_name(SEAL_FILE)
    # Runs of earlier versions have no seal.
    if seal.is_file() and read_bytes(seal)[:64] != file_checksum(file).encode():
        _LOG.warning("%s is damaged: its learning curve is left out", file)
        return {}
    query = f'select "~iteration~", "{PRIMARY}" from "validation_{space}" order by id'
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            return {int(epoch): float(value) for epoch, value in database.execute(query)}
    # A damaged file, or a table that a run killed early has not made.
    except (sqlite3.Error, TypeError, ValueError) as error:
        failure = disk_failure(error, file)
        # What has a checksum is not malformed, whatever SQLite says of a page that it cannot read.
        if failure is not None and (seal.is_file() or "malformed" not in str(error)):
            raise failure from error
        return {}


def neighbors(tests: EmbeddedTestSet, distance: PoincareDistance | None, k: int) -> np.ndarray:
    """Return (Q, k) rows of the embeddings nearest to each query, without the query itself.

    Args:
        tests: embeddings of one space.
        distance: that ranks the space; None for cosine.
        k: number of neighbors, fewer where there are not as many.
    """
    reference = len(tests.embeddings) - 1 if tests.gallery is None else len(tests.gallery)
    _, rows = nearest_neighbors(
        tests.embeddings.float(),
        min(k, reference),
        distance,
        query=tests.query,
        gallery=tests.gallery,
    )
    return rows
