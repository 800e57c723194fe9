"""RecallMetricsMixin: recall at any K, for the AccuracyCalculator of PML 3."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from .._pml import AccuracyCalculator, RetrievalMetric, precision_at_k
from ..functional.validation import distinct_counts


class RecallMetricsMixin(AccuracyCalculator):
    """Adds ``recall_at_K`` metrics to the AccuracyCalculator of PML 3, as its custom metrics.

    ``recall_at_K`` is the fraction of queries that have a match among their K nearest neighbours:
    1 for a query whose precision at K is above 0, undefined where that is. How many neighbours are
    searched, which queries count and how they are averaged is for PML's calculator to say.

    Args:
        recall_at: the values of K, distinct integers >= 1. Default (1, 2, 4, 8), as published for
            CUB and Cars.
        custom_metrics: further metrics, as PML's calculator. Default: none.
        kwargs: as PML's AccuracyCalculator.

    Raises:
        ValueError: a K that is not an integer >= 1, or two equal ones.
    """

    def __init__(
        self,
        *,
        recall_at: Iterable[int] = (1, 2, 4, 8),
        custom_metrics: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        values = distinct_counts(type(self).__name__, "recall_at", recall_at)
        recalls = {
            f"recall_at_{K}": RetrievalMetric(functools.partial(recall_at_k, K), neighbors=K)
            for K in values
        }
        super().__init__(custom_metrics={**recalls, **(custom_metrics or {})}, **kwargs)

    def description(self) -> str:
        """Nothing: PML 3 has no description of a calculator."""
        return ""


def recall_at_k(K: int, inputs: Any) -> torch.Tensor:
    """(N,) values of queries: 1 with a match among the K nearest, 0 without, NaN if undefined.

    Args:
        K: number of neighbours.
        inputs: PML's RetrievalInputs.
    """
    return torch.ceil(precision_at_k(inputs, K))
