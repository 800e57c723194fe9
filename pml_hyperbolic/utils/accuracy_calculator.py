"""HyperbolicAccuracyCalculator: PML's AccuracyCalculator in hyperbolic space."""

from collections.abc import Callable
from typing import Any

import torch

from .._pml import AccuracyCalculator, logger, numpy_to_torch
from ..distances import PoincareDistance
from ..functional.validation import check_finite
from .lifted_points import check_hyperbolic
from .recall_at_k import RecallAtKMixin
from .retrieval import PoincareKMeans, PoincareKNN


class HyperbolicAccuracyCalculator(RecallAtKMixin, AccuracyCalculator):
    """PML's AccuracyCalculator, ranking by geodesic distance and clustering in hyperbolic space.

    PML's own ranks ball coordinates by L2 and clusters them by Euclidean k-means. Both disagree
    with the geometry that the embedding was trained in.

    Args:
        distance: the PoincareDistance or PoincareSimilarity that the model was trained with; it
            says whether embeddings are tangent vectors or ball points.
        knn_func: default :class:`PoincareKNN` of ``distance``.
        kmeans_func: default :class:`PoincareKMeans` of ``distance``. The two defaults see float64
            embeddings as they are, whereas PML casts them to float32 for functions of your own.
        recall_at, k, kwargs: as :class:`RecallAtKMixin`.

    Raises:
        ValueError: as RecallAtKMixin, PoincareKNN and PoincareKMeans.
        TypeError: ``distance`` holds no hyperbolic geometry.
    """

    def __init__(
        self,
        distance: PoincareDistance,
        *,
        knn_func: Callable | None = None,
        kmeans_func: Callable | None = None,
        **kwargs: Any,
    ):
        self.distance = check_hyperbolic(type(self).__name__, distance)
        self._ranks_geodesically = knn_func is None
        self._uncast: dict[str, torch.Tensor] = {}
        super().__init__(
            knn_func=_UncastKNN(distance, self._uncast) if knn_func is None else knn_func,
            kmeans_func=(
                _UncastKMeans(distance, self._uncast) if kmeans_func is None else kmeans_func
            ),
            **kwargs,
        )

    def get_accuracy(
        self,
        query: torch.Tensor,
        query_labels: torch.Tensor,
        reference: torch.Tensor | None = None,
        *arguments: Any,
        **options: Any,
    ) -> dict[str, float]:
        """As PML's, with float64 embeddings and labels of any size kept exact."""
        if self._ranks_geodesically:
            logger().info("ranking by geodesic distance (c=%g)", self.distance.c)
        given = {"query": query, "reference": query if reference is None else reference}
        given = {name: numpy_to_torch(rows) for name, rows in given.items()}
        for rows in given.values():
            check_finite(type(self).__name__, rows)
        self._uncast.update(
            (name, rows) for name, rows in given.items() if rows.dtype == torch.float64
        )
        try:
            return super().get_accuracy(query, query_labels, reference, *arguments, **options)
        finally:
            self._uncast.clear()

    def description(self) -> str:
        """PML's description and the geometry, as part of a table name: ``geodesic_c0p1``."""
        metric = "geodesic" if self._ranks_geodesically else "custom_knn"
        curvature = f"c{self.distance.c:g}".replace(".", "p").replace("-", "m").replace("+", "")
        return "_".join(filter(None, [super().description(), metric, curvature]))


class _UncastKNN(PoincareKNN):
    """PoincareKNN that searches float64 embeddings as they were before PML cast them."""

    def __init__(self, distance, uncast):
        super().__init__(distance)
        self.uncast = uncast

    def __call__(self, query, k, reference=None, ref_includes_query=False):
        return super().__call__(
            _uncast(self.uncast, "query", query),
            k,
            _uncast(self.uncast, "reference", reference),
            ref_includes_query,
        )


class _UncastKMeans(PoincareKMeans):
    """PoincareKMeans that clusters float64 embeddings as they were before PML cast them."""

    def __init__(self, distance, uncast):
        super().__init__(distance)
        self.uncast = uncast

    def __call__(self, x, nmb_clusters):
        return super().__call__(_uncast(self.uncast, "query", x), nmb_clusters)


def _uncast(uncast, name, rows):
    """The rows as they were given, on the device that PML's calculator has moved them to."""
    given = uncast.get(name)
    # A calculator that searches for some of the queries only passes its own rows.
    return rows if given is None or given.shape != rows.shape else given.to(rows.device)
