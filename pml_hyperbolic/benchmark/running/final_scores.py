"""Scores of the selected checkpoint: every level of labels, every single query."""

from typing import Any, NamedTuple

import numpy as np
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

# Beyond so many images a class, ranking all of a class costs too much memory and says little.
_LARGEST_RANKED = 1000


class Retrieval(NamedTuple):
    """Queries and what they are searched in.

    Attributes:
        query: (Q, D) embeddings.
        query_labels: (Q, L), the finest level first.
        gallery: (G, D), or None where each query is searched among the others.
        gallery_labels: (G, L), or None likewise.
    """

    query: torch.Tensor
    query_labels: torch.Tensor
    gallery: torch.Tensor | None = None
    gallery_labels: torch.Tensor | None = None

    def columns(self, columns: slice) -> "Retrieval":
        """The same in some columns of the embeddings."""
        gallery = None if self.gallery is None else self.gallery[:, columns]
        return self._replace(query=self.query[:, columns], gallery=gallery)


def finest_scores(
    calculator: AccuracyCalculator, retrieval: Retrieval
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Scores on the finest labels, together and query by query.

    Args:
        calculator: of the space, which says how it is ranked.
        retrieval: in this space's columns.

    Returns:
        metric -> value, and ``average_precision_at_r``, ``precision_at_1``, ``r_precision`` ->
        (Q,) float32, from the very neighbours that gave the values; NaN for queries that have no
        match to be found, which PML's metrics leave out too.
    """
    search = calculator.knn_func
    kept: list[torch.Tensor] = []

    def keeping(*arguments, **options):
        distances, indices = search(*arguments, **options)
        kept[:] = [indices]
        return distances, indices

    calculator.knn_func = keeping
    try:
        scores = _scores(calculator, retrieval, 0)
    finally:
        calculator.knn_func = search
    labels = retrieval.query_labels[:, 0]
    among = labels if retrieval.gallery is None else retrieval.gallery_labels[:, 0]
    indices = kept[0].to(among.device)
    return scores, query_scores(among[indices] == labels[:, None], _relevant(retrieval, 0))


def query_scores(matches: torch.Tensor, relevant: torch.Tensor) -> dict[str, np.ndarray]:
    """Precision at 1, R-Precision and average precision at R of each query.

    Args:
        matches: (Q, K) whether each neighbour, the nearest first, has the query's label; K at
            least the largest of ``relevant``.
        relevant: (Q,) how many matches there are to be found: each query's R.

    Returns:
        name -> (Q,) float32; NaN where R is 0.
    """
    matches = matches[:, : max(int(relevant.max()), 1)].double()
    ranks = torch.arange(1, matches.shape[1] + 1, device=matches.device)
    within = matches * (ranks <= relevant[:, None])
    lone = relevant == 0
    precision_at_1 = matches[:, 0].masked_fill(lone, torch.nan)
    r_precision = within.sum(1) / relevant
    average_precision = (within.cumsum(1) / ranks * within).sum(1) / relevant
    return {
        "average_precision_at_r": _float32(average_precision),
        "precision_at_1": _float32(precision_at_1),
        "r_precision": _float32(r_precision),
    }


def level_scores(
    calculator: AccuracyCalculator, retrieval: Retrieval, level: int
) -> dict[str, float]:
    """Scores on coarser labels.

    A level whose classes have more than 1,000 images is scored by precision at 1 and recall only.

    Args:
        calculator: of the space.
        retrieval: in this space's columns.
        level: column of the labels, >= 1.
    """
    if int(_relevant(retrieval, level).max()) <= _LARGEST_RANKED:
        return _scores(calculator, retrieval, level)
    cheap = [
        name
        for name in calculator.get_curr_metrics()
        if name == "precision_at_1" or name.startswith("recall_at_")
    ]
    k, calculator.k = calculator.k, 1
    try:
        return _scores(calculator, retrieval, level, include=tuple(cheap))
    finally:
        calculator.k = k


def _scores(calculator, retrieval, level, **options: Any):
    gallery_labels = retrieval.gallery_labels
    scores = calculator.get_accuracy(
        retrieval.query,
        retrieval.query_labels[:, level],
        retrieval.gallery,
        None if gallery_labels is None else gallery_labels[:, level],
        **options,
    )
    return {name: float(value) for name, value in scores.items()}


def _relevant(retrieval, level):
    """(Q,) how many images of its class each query has to find."""
    labels = retrieval.query_labels[:, level]
    itself = retrieval.gallery is None
    among = labels if itself else retrieval.gallery_labels[:, level]
    dense = torch.unique(torch.cat([among, labels]), return_inverse=True)[1]
    counts = torch.bincount(dense[: len(among)], minlength=int(dense.max()) + 1)
    return counts[dense[len(among) :]] - int(itself)


def _float32(values):
    return values.cpu().numpy().astype(np.float32)
