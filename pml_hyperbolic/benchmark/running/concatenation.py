"""Concatenated scores: the embeddings of the models of all folds of a seed, side by side."""

from pathlib import Path

import torch

from ...distances import PoincareDistance
from ...errors import InputError
from ..assembly.evaluation import make_tester
from ..config import EvaluationConfig
from ..measuring.run_contents import distance_of
from ..measuring.run_scores import concatenate, load_test, score_test
from ..results.row import read_rows, write_rows
from ..results.run_files import EMBEDDINGS_FILE, QUERIES_FILE, RESULT_FILE


def add_concatenated(
    folders: list[Path], evaluation: EvaluationConfig, device: torch.device
) -> None:
    """Score the folds of one method and seed together, and add the scores to every fold's rows.

    Args:
        folders: of the finished runs of all folds.
        evaluation: of the protocol.
        device: that the search runs on.

    Raises:
        InputError: the result of a run is malformed, or its test embeddings were removed.
    """
    results = {folder: read_rows(folder / RESULT_FILE) for folder in folders}
    if all(
        row.concatenated is not None and row.concatenated_levels is not None
        for rows in results.values()
        for row in rows
    ):
        return
    for folder in folders:
        for name in (QUERIES_FILE, EMBEDDINGS_FILE):
            if not (folder / name).is_file():
                raise InputError(
                    f"{folder} has no {name}, which is needed to score the folds together: remove "
                    f"the folder and run again"
                )
    rows = results[folders[0]]
    spaces, sizes, start, distance = {}, {}, 0, None
    for row in rows:
        own = distance_of(row)
        if row.space == "hyperbolic":
            if own is None:
                raise InputError(
                    f"{folders[0] / RESULT_FILE} has no geometry, which is needed to score the "
                    f"folds together: remove {folders[0]} and run again"
                )
            # What has been clipped lies within the radius, and is not to be squashed again.
            distance = own if own.clip == "hard" else PoincareDistance(own.c, own.clip_radius)
        spaces[row.space] = (slice(start, start + row.dimension), own)
        sizes[row.space] = row.dimension * len(folders)
        start += row.dimension
    together = concatenate([load_test(folder) for folder in folders], spaces)
    together = together._replace(
        embeddings=together.embeddings.to(device), labels=together.labels.to(device)
    )
    tester = make_tester(sizes, distance, evaluation, device=device)
    scores = score_test(tester.accuracy_calculator.spaces, together, rows[0].levels)
    for folder, rows in results.items():
        scored = [
            row.model_copy(
                update={
                    "concatenated": scores.test[row.space],
                    "concatenated_levels": scores.levels[row.space],
                }
            )
            for row in rows
        ]
        write_rows(folder / RESULT_FILE, scored)
