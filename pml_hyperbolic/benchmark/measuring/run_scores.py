"""RunScores: the scores of a run's selected checkpoint, and the files that hold them."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..._pml import AccuracyCalculator
from ...checked_files import open_checked, write_checked
from ...distances import PoincareDistance
from ...unpacked_size import check_unpacked_size
from ..results.run_files import EMBEDDINGS_FILE, QUERIES_FILE
from .final_scores import Retrieval, finest_scores, level_scores

_SMALLEST_NORM = 1e-30  # a zero vector stays one


class EmbeddedTestSet(NamedTuple):
    """Embeddings of the images of the test classes, divided into queries and gallery.

    Attributes:
        embeddings: (N, D).
        labels: (N, L), the finest level first.
        indices: (N,), positions of the images in the data set.
        query: (Q,), rows that are queries.
        gallery: (G,), rows that are searched, or None if each query is searched among the others.
    """

    embeddings: torch.Tensor
    labels: torch.Tensor
    indices: np.ndarray
    query: np.ndarray
    gallery: np.ndarray | None

    @property
    def retrieval(self) -> Retrieval:
        """Embeddings and labels of queries and gallery."""
        gallery = (
            (None, None)
            if self.gallery is None
            else (self.embeddings[self.gallery], self.labels[self.gallery])
        )
        return Retrieval(self.embeddings[self.query], self.labels[self.query], *gallery)


class RunScores(NamedTuple):
    """Scores of the test classes in every space.

    Attributes:
        test: space -> metric -> value, on the finest labels.
        levels: space -> name of a coarser level -> metric -> value.
        queries: space -> key of ``queries.npz`` -> (Q,) float32, as :func:`finest_scores` returns
            them.
    """

    test: dict[str, dict[str, float]]
    levels: dict[str, dict[str, dict[str, float]]]
    queries: dict[str, dict[str, np.ndarray]]


def score_test(
    spaces: dict[str, tuple[slice, AccuracyCalculator]],
    test_set: EmbeddedTestSet,
    level_names: list[str],
) -> RunScores:
    """Score the test classes in every space, on every level of labels.

    Args:
        spaces: name -> (columns of the embeddings, calculator that scores them).
        test_set: embeddings and labels.
        level_names: names of the columns of the labels.
    """
    scores = RunScores({}, {}, {})
    for space, (columns, calculator) in spaces.items():
        retrieval = test_set.retrieval.columns(columns)
        scores.test[space], scores.queries[space] = finest_scores(calculator, retrieval)
        scores.levels[space] = {
            name: level_scores(calculator, retrieval, level)
            for level, name in enumerate(level_names)
            if level > 0
        }
    return scores


def save_test(folder: Path, test_set: EmbeddedTestSet, scores: RunScores) -> None:
    """Write the scores of the queries and the embeddings into the folder of a run.

    ``queries.npz`` holds the (Q,) float32 scores ``<space>/<key>``; ``test_indices``, the (Q,)
    positions of the queries in the data set; and of the rows of ``test_embeddings.npy`` their
    ``rows/indices`` in the data set, ``rows/labels``, ``rows/query`` and, if there is a gallery,
    ``rows/gallery``.
    """
    arrays: dict[str, Any] = {
        f"{space}/{name}": values
        for space, queries in scores.queries.items()
        for name, values in queries.items()
    }
    arrays["test_indices"] = test_set.indices[test_set.query]
    arrays["rows/indices"] = test_set.indices
    arrays["rows/labels"] = test_set.labels.cpu().numpy()
    arrays["rows/query"] = test_set.query
    if test_set.gallery is not None:
        arrays["rows/gallery"] = test_set.gallery
    embeddings = test_set.embeddings.float().cpu().numpy()
    write_checked(folder / EMBEDDINGS_FILE, lambda file: np.save(file, embeddings))
    write_checked(folder / QUERIES_FILE, lambda file: np.savez_compressed(file, **arrays))


def load_test(folder: Path) -> EmbeddedTestSet:
    """Return the test set that :func:`save_test` wrote."""
    with open_checked(folder / QUERIES_FILE) as stream:
        check_unpacked_size(stream)
        arrays = np.load(stream)
        rows = {
            name.removeprefix("rows/"): arrays[name]
            for name in arrays.files
            if name.startswith("rows/")
        }
    with open_checked(folder / EMBEDDINGS_FILE) as stream:
        embeddings = torch.from_numpy(np.load(stream))
    return EmbeddedTestSet(
        embeddings,
        torch.from_numpy(rows["labels"]),
        rows["indices"],
        rows["query"],
        rows.get("gallery"),
    )


def concatenate(
    folds: list[EmbeddedTestSet],
    spaces: dict[str, tuple[slice, PoincareDistance | None]],
) -> EmbeddedTestSet:
    """Concatenate the embeddings that the models of several folds gave the same images.

    Euclidean embeddings are L2-normalised first, so that every fold has the same weight in the
    cosine similarity. In the hyperbolic space, the tangent vectors of each fold are clipped and
    divided by the square root of the number of folds, so that the concatenation is a tangent
    vector within the same clip radius (which a smooth clip would shorten once more).

    Args:
        folds: test sets of the same images.
        spaces: "euclidean" and "hyperbolic", as far as the embeddings have them -> (columns in each
            fold, the distance that ranks the space; None for cosine).

    Raises:
        ValueError: the folds embedded different images.
    """
    if any(not np.array_equal(fold.indices, folds[0].indices) for fold in folds):
        raise ValueError("cannot concatenate the folds: they have embedded different images")
    parts = []
    for name, (columns, distance) in spaces.items():
        for fold in folds:
            part = fold.embeddings[:, columns]
            if name == "euclidean":
                parts.append(torch.nn.functional.normalize(part))
                continue
            if distance is not None:
                norm = part.norm(dim=1, keepdim=True)
                part = part * (distance.clipped_norm(norm) / norm.clamp(min=_SMALLEST_NORM))
            parts.append(part / math.sqrt(len(folds)))
    return folds[0]._replace(embeddings=torch.cat(parts, dim=1))
