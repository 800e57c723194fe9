"""RecallAtKMixin: recall at any K, and exact labels, for the AccuracyCalculator of PML 2."""

import functools
from collections.abc import Iterable
from typing import Any

import torch

from .._pml import (
    EQUALITY,
    AccuracyCalculator,
    maybe_get_avg_of_avgs,
    nan_accuracy,
    numpy_to_torch,
    try_getting_not_lone_labels,
)
from ..functional.validation import distinct_counts


class RecallAtKMixin(AccuracyCalculator):
    """Adds ``recall_at_K`` metrics to a PML AccuracyCalculator and keeps labels exact.

    ``recall_at_K`` is the fraction of queries (those with a match among the references, as in all
    PML metrics) that have a match among their K nearest neighbours. The search is widened to the
    largest K asked for; the other metrics only see the neighbours that their own ``k`` gives them.
    A K beyond the number of references looks at all of them.

    Args:
        recall_at: the values of K, distinct integers >= 1. Default (1, 2, 4, 8), as published for
            CUB and Cars. Each becomes a metric that ``include`` and ``exclude`` know.
        k: as PML's calculator, but "max_bin_count" by default, which is what MAP@R and R-Precision
            need (PML's default ranks all references).
        kwargs: as PML's AccuracyCalculator.

    Raises:
        ValueError: a K that is not an integer >= 1, or two equal ones.
    """

    def __init__(
        self,
        *,
        recall_at: Iterable[int] = (1, 2, 4, 8),
        k: int | str | None = "max_bin_count",
        **kwargs: Any,
    ):
        values = distinct_counts(type(self).__name__, "recall_at", recall_at)
        self._recall_at = {f"recall_at_{K}": K for K in values}
        self._own_k: int | None = None
        # PML finds metrics as attributes named calculate_*.
        for name, K in self._recall_at.items():
            setattr(self, f"calculate_{name}", functools.partial(self._calculate_recall, K))
        super().__init__(k=k, **kwargs)

    def requires_knn(self) -> list[str]:
        """The metrics that need neighbours (PML's list omits the mean reciprocal rank)."""
        return [*super().requires_knn(), "mean_reciprocal_rank", *self._recall_at]

    def determine_k(
        self, bin_counts: torch.Tensor, num_reference_embeddings: int, ref_includes_query: bool
    ) -> int:
        """PML's k, widened to the largest K of the current recall metrics."""
        own = super().determine_k(bin_counts, num_reference_embeddings, ref_includes_query)
        self._own_k = max(own, 1)
        widest = [self._recall_at.get(name, 1) for name in self.get_curr_metrics()]
        available = num_reference_embeddings - int(ref_includes_query)
        return max(self._own_k, min(max(widest, default=1), available))

    def get_accuracy(
        self,
        query: torch.Tensor,
        query_labels: torch.Tensor,
        reference: torch.Tensor | None = None,
        reference_labels: torch.Tensor | None = None,
        *arguments: Any,
        **options: Any,
    ) -> dict[str, float]:
        """As PML's, with labels of any size kept exact."""
        query_labels, reference_labels = self._dense_labels(query_labels, reference_labels)
        try:
            return super().get_accuracy(
                query, query_labels, reference, reference_labels, *arguments, **options
            )
        finally:
            self._own_k = None

    def _dense_labels(self, query_labels, reference_labels):
        """Labels renumbered from 0 in sorted order, because PML casts them to float32.

        A comparison function of the user's own must see the labels themselves.
        """
        if self.label_comparison_fn is not EQUALITY:
            return query_labels, reference_labels
        query_labels = numpy_to_torch(query_labels)
        if reference_labels is None:
            return torch.unique(query_labels, dim=0, return_inverse=True)[1], None
        reference_labels = numpy_to_torch(reference_labels).to(query_labels.device)
        both = torch.cat([query_labels, reference_labels])
        dense = torch.unique(both, dim=0, return_inverse=True)[1]
        return dense[: len(query_labels)], dense[len(query_labels) :]

    def _get_accuracy(self, function_dict, **kwargs):
        own = {name: f for name, f in function_dict.items() if name not in self._recall_at}
        recalls = {name: f for name, f in function_dict.items() if name in self._recall_at}
        scores = super()._get_accuracy(recalls, **kwargs)
        # Without determine_k nothing was widened, and None keeps all neighbours.
        for name in ("knn_labels", "knn_distances"):
            if name in kwargs:
                kwargs[name] = kwargs[name][:, : self._own_k]
        scores.update(super()._get_accuracy(own, **kwargs))
        return {name: scores[name] for name in function_dict}

    def _calculate_recall(
        self, K, knn_labels, query_labels, not_lone_query_mask, label_counts, **kwargs
    ):
        knn_labels, query_labels = try_getting_not_lone_labels(
            knn_labels, query_labels, not_lone_query_mask
        )
        if knn_labels is None:
            return nan_accuracy(label_counts[0], self.return_per_class)
        query_labels = query_labels[:, None]
        found = self.label_comparison_fn(query_labels, knn_labels[:, :K]).any(1).double()
        return maybe_get_avg_of_avgs(found, query_labels, self.avg_of_avgs, self.return_per_class)
