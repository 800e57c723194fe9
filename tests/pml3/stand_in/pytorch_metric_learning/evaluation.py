"""Retrieval metrics and backends (pages: retrieval, migration-2-to-3, recipes/evaluation).

Assumed, because the page of the calculator could not be read: the order of the arguments of
``get_accuracy``, that of 2.9, and the fields of RetrievalInputs other than ``relevant_counts``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from .distances import LpDistance

__all__ = [
    "AccuracyCalculator",
    "CustomKNN",
    "FaissKMeans",
    "FaissKNN",
    "RetrievalInputs",
    "RetrievalMetric",
    "precision_at_k",
]


class RetrievalInputs(NamedTuple):
    matches: torch.Tensor
    relevant_counts: torch.Tensor


class RetrievalMetric:
    def __init__(self, function: Callable[[RetrievalInputs], torch.Tensor], *, neighbors: Any):
        self.function = function
        self.neighbors = neighbors


def precision_at_k(inputs, k):
    """(N,) float64 values of queries, NaN for those without a match among the references."""
    precision = inputs.matches[:, :k].double().mean(1)
    return precision.masked_fill(inputs.relevant_counts == 0, torch.nan)


class CustomKNN:
    def __init__(self, distance=None):
        self.distance = LpDistance() if distance is None else distance

    def __call__(self, query, k, reference, ref_includes_query):
        mat = self.distance(query, reference)
        mat = -mat if self.distance.is_inverted else mat
        if ref_includes_query:
            mat[:, : len(query)].fill_diagonal_(torch.inf)
        return mat.topk(k, dim=1, largest=False)


class FaissKNN(CustomKNN):
    def __init__(self):
        super().__init__(LpDistance(normalize_embeddings=False))


class FaissKMeans:
    def __init__(self, **options):
        self.options = options


class AccuracyCalculator:
    def __init__(self, *, knn_func=None, kmeans_func=None, custom_metrics=None):
        self.knn_func = CustomKNN() if knn_func is None else knn_func
        self.kmeans_func = kmeans_func
        self.metrics = {
            "precision_at_1": RetrievalMetric(lambda inputs: precision_at_k(inputs, 1), neighbors=1)
        }
        self.metrics.update(custom_metrics or {})

    def get_accuracy(
        self,
        query,
        query_labels,
        reference=None,
        reference_labels=None,
        ref_includes_query=False,
    ):
        if reference is None:
            reference, reference_labels, ref_includes_query = query, query_labels, True
        widest = max(metric.neighbors for metric in self.metrics.values())
        k = min(widest, len(reference) - ref_includes_query)
        found = self.knn_func(query, k, reference, ref_includes_query)[1]
        same = query_labels.unsqueeze(1) == reference_labels
        inputs = RetrievalInputs(
            matches=same.gather(1, found), relevant_counts=same.sum(1) - int(ref_includes_query)
        )
        scores = {
            name: metric.function(inputs).nanmean().item() for name, metric in self.metrics.items()
        }
        if self.kmeans_func is not None:
            clusters = self.kmeans_func(query, len(query_labels.unique()))
            together = clusters.unsqueeze(1) == clusters
            same = query_labels.unsqueeze(1) == query_labels
            scores["clustering"] = (together == same).double().mean().item()
        return scores
