"""HyperbolicAccuracyCalculator: PML's AccuracyCalculator in hyperbolic space."""

import torch
from pytorch_metric_learning.utils import common_functions as c_f
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from ..distances import PoincareDistance
from ..functional.validation import check_finite
from .recall_at_k_mixin import RecallAtKMixin
from .retrieval import PoincareKMeans, PoincareKNN


class HyperbolicAccuracyCalculator(RecallAtKMixin, AccuracyCalculator):
    """PML's AccuracyCalculator, ranking by geodesic distance and clustering in hyperbolic space.

    PML's own ranks ball coordinates by L2 and clusters them by Euclidean k-means; both disagree
    with the geometry the embedding was trained in.

    Args:
        distance: the PoincareDistance or PoincareSimilarity the model was trained with; it says
            whether embeddings are tangent vectors or ball points.
        recall_at, k, kwargs: as :class:`RecallAtKMixin`; ``knn_func`` and ``kmeans_func`` default
            to :class:`PoincareKNN` and :class:`PoincareKMeans`, which see float64 embeddings as
            they are (PML casts them to float32). Functions of the user's own win.

    Raises:
        ValueError: as RecallAtKMixin, PoincareKNN and PoincareKMeans.
        TypeError: ``distance`` holds no hyperbolic geometry.
    """

    def __init__(self, distance: PoincareDistance, *, knn_func=None, kmeans_func=None, **kwargs):
        self.distance = distance
        self._uncast = {}
        self._ranks_geodesically = knn_func is None
        if knn_func is None:
            search = PoincareKNN(distance)

            def knn_func(query, k, reference, ref_includes_query=False):
                return search(
                    self._uncast.get("query", query),
                    k,
                    self._uncast.get("reference", reference),
                    ref_includes_query,
                )

        if kmeans_func is None:
            cluster = PoincareKMeans(distance)

            def kmeans_func(x, nmb_clusters):
                return cluster(self._uncast.get("query", x), nmb_clusters)

        super().__init__(knn_func=knn_func, kmeans_func=kmeans_func, **kwargs)

    def get_accuracy(
        self,
        query: torch.Tensor,
        query_labels: torch.Tensor,
        reference: torch.Tensor | None = None,
        *arguments,
        **options,
    ) -> dict[str, float]:
        """As PML's; float64 embeddings and labels of any size stay exact."""
        if self._ranks_geodesically:
            c_f.LOGGER.info("ranking by geodesic distance (c=%g)", self.distance.c)
        given = {"query": query, "reference": query if reference is None else reference}
        given = {name: c_f.numpy_to_torch(rows) for name, rows in given.items()}
        for rows in given.values():
            check_finite(type(self).__name__, rows)
        self._uncast = {
            name: rows.to(self.device)
            for name, rows in given.items()
            if rows.dtype == torch.float64
        }
        try:
            return super().get_accuracy(query, query_labels, reference, *arguments, **options)
        finally:
            self._uncast = {}

    def description(self) -> str:
        """PML's description and the geometry, as part of a table name: ``geodesic_c0p1``."""
        metric = "geodesic" if self._ranks_geodesically else "custom_knn"
        curvature = f"c{self.distance.c:g}".replace(".", "p").replace("-", "m").replace("+", "")
        return "_".join(filter(None, [super().description(), metric, curvature]))
