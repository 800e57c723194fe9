"""Scores of the selected checkpoint, on every level of labels and for every single query."""

from typing import Any, NamedTuple

import numpy as np
import torch

from ..._pml import AccuracyCalculator
from ..results.metric_names import MAP_AT_R, PRECISION_AT_1, QUERY_KEYS, R_PRECISION, recall_k

# Number of neighbours, of all queries together, beyond which ranking whole classes of more than a
# thousand images takes too much memory.
_LARGEST_RANKED = 1000
_MOST_NEIGHBOURS = 10_000_000


class Retrieval(NamedTuple):
    """Queries and the gallery that they are searched in.

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
        """Return the same queries and gallery in some columns of their embeddings."""
        gallery = None if self.gallery is None else self.gallery[:, columns]
        return self._replace(query=self.query[:, columns], gallery=gallery)


def finest_scores(
    calculator: AccuracyCalculator, retrieval: Retrieval
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Score embeddings on the finest labels, as a whole and query by query.

    Args:
        calculator: ranks the space in its own geometry.
        retrieval: embeddings in the columns of this space.

    Returns:
        metric -> value, and key of ``queries.npz`` -> (Q,) float32 scores, both from the same
        neighbours. Queries without any match have NaN; PML's metrics leave them out as well.
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
    gallery_labels = retrieval.gallery_labels
    among = labels if gallery_labels is None else gallery_labels[:, 0]
    indices = kept[0].to(among.device)
    return scores, query_scores(among[indices] == labels[:, None], _relevant(retrieval, 0))


def query_scores(matches: torch.Tensor, relevant: torch.Tensor) -> dict[str, np.ndarray]:
    """Return precision at 1, R-Precision and average precision at R of each query.

    Args:
        matches: (Q, K), whether each neighbour, the nearest first, has the query's label; K is at
            least the largest of ``relevant``.
        relevant: (Q,), how many matches each query can find: its R.

    Returns:
        key of ``queries.npz`` -> (Q,) float32; NaN where R is 0.
    """
    matches = matches[:, : max(int(relevant.max()), 1)].double()
    ranks = torch.arange(1, matches.shape[1] + 1, device=matches.device)
    within = matches * (ranks <= relevant[:, None])
    lone = relevant == 0
    precision_at_1 = matches[:, 0].masked_fill(lone, torch.nan)
    r_precision = within.sum(1) / relevant
    average_precision = (within.cumsum(1) / ranks * within).sum(1) / relevant
    return {
        QUERY_KEYS[MAP_AT_R]: _float32(average_precision),
        QUERY_KEYS[PRECISION_AT_1]: _float32(precision_at_1),
        QUERY_KEYS[R_PRECISION]: _float32(r_precision),
    }


def level_scores(
    calculator: AccuracyCalculator, retrieval: Retrieval, level: int
) -> dict[str, float]:
    """Score embeddings on coarser labels.

    Only precision at 1 and recall are computed where a class of this level has more than 1,000
    images and all queries together would need more than ten million neighbours.

    Args:
        calculator: ranks the space in its own geometry.
        retrieval: embeddings in the columns of this space.
        level: column of the labels, at least 1.
    """
    largest = int(_relevant(retrieval, level).max())
    if largest <= _LARGEST_RANKED or largest * len(retrieval.query) <= _MOST_NEIGHBOURS:
        return _scores(calculator, retrieval, level)
    cheap = [
        name
        for name in calculator.get_curr_metrics()
        if name == PRECISION_AT_1 or recall_k(name) is not None
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
    """Return how many images of its class each query can find: (Q,)."""
    labels = retrieval.query_labels[:, level]
    itself = retrieval.gallery is None
    among = labels if itself else retrieval.gallery_labels[:, level]
    dense = torch.unique(torch.cat([among, labels]), return_inverse=True)[1]
    counts = torch.bincount(dense[: len(among)], minlength=int(dense.max()) + 1)
    return counts[dense[len(among) :]] - int(itself)


def _float32(values):
    return values.cpu().numpy().astype(np.float32)
