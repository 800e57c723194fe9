""" "Concatenated" results: one embedding made of the models of all folds of a seed."""

from pathlib import Path

import torch

from ...distances import PoincareDistance
from ...errors import InputError
from ...files import read_json, write_json
from ..assembly.evaluation import make_tester
from ..config import EvaluationConfig
from ..results.run_files import EMBEDDINGS_FILE, QUERIES_FILE
from .run_scores import concatenate, load_test, score_test

_KEYS = ("concatenated", "concatenated_levels")


def add_concatenated(
    folders: list[Path], result_file: str, evaluation: EvaluationConfig, device: torch.device
) -> None:
    """Score the folds of one method and seed together, and note it in every fold's result.

    Args:
        folders: of the finished runs of all folds.
        result_file: name of their results.
        evaluation: of the protocol.
        device: where to search.

    Raises:
        InputError: the test embeddings of a run are gone.
    """
    results = [read_json(folder / result_file) for folder in folders]
    if all(key in row for rows in results for row in rows for key in _KEYS):
        return
    for folder in folders:
        for name in (QUERIES_FILE, EMBEDDINGS_FILE):
            if not (folder / name).is_file():
                raise InputError(
                    f"{folder} has no {name}, from which the folds are scored together: remove "
                    f"the folder and run again"
                )
    rows = results[0]
    spaces, sizes, start, distance = {}, {}, 0, None
    for row in rows:
        radius = None
        if row["space"] == "hyperbolic":
            distance = PoincareDistance(**row["geometry"])
            radius = distance.clip_radius
        spaces[row["space"]] = (slice(start, start + row["dimension"]), radius)
        sizes[row["space"]] = row["dimension"] * len(folders)
        start += row["dimension"]
    together = concatenate([load_test(folder) for folder in folders], spaces)
    tester = make_tester(sizes, distance, evaluation, device=device)
    together = together._replace(
        embeddings=together.embeddings.to(device), labels=together.labels.to(device)
    )
    scores = score_test(tester.accuracy_calculator.spaces, together, rows[0]["levels"])
    for folder, rows in zip(folders, results, strict=True):
        for row in rows:
            row["concatenated"] = scores.test[row["space"]]
            row["concatenated_levels"] = scores.levels[row["space"]]
        write_json(folder / result_file, rows)
