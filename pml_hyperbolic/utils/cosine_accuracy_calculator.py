"""CosineAccuracyCalculator: PML's AccuracyCalculator with cosine ranking and recall at any K."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils import common_functions as c_f
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN, FaissKNN

from .inner_product_search import faiss_or_none
from .recall_at_k_mixin import RecallAtKMixin

_QUERY_BATCH = 1024  # queries that a torch search compares with all references at a time


class CosineAccuracyCalculator(RecallAtKMixin, AccuracyCalculator):
    """PML's AccuracyCalculator for a flat space: cosine ranking, with recall at any K.

    The calculator L2-normalises embeddings itself, so that they can come raw from a tester that
    scores a hyperbolic space of the same embedding.

    Args:
        knn_func: default PML's FaissKNN if FAISS is installed, else an exact search with torch.
        kmeans_func: default PML's FaissKMeans if FAISS is installed, else scikit-learn's k-means.
        recall_at, k, kwargs: as :class:`RecallAtKMixin`.

    Raises:
        ValueError: as RecallAtKMixin.
    """

    def __init__(
        self,
        *,
        knn_func: Callable | None = None,
        kmeans_func: Callable | None = None,
        **kwargs: Any,
    ):
        has_faiss = faiss_or_none() is not None
        if knn_func is None:
            knn_func = FaissKNN() if has_faiss else _TorchKNN()
        if kmeans_func is None and not has_faiss:
            kmeans_func = _sklearn_kmeans
        super().__init__(knn_func=knn_func, kmeans_func=kmeans_func, **kwargs)

    def get_accuracy(
        self,
        query: torch.Tensor,
        query_labels: torch.Tensor,
        reference: torch.Tensor | None = None,
        *arguments: Any,
        **options: Any,
    ) -> dict[str, float]:
        """As PML's, for the normalised embeddings, with labels of any size kept exact."""
        c_f.LOGGER.info("ranking by cosine similarity")
        reference = None if reference is None else _normalized(reference)
        return super().get_accuracy(
            _normalized(query), query_labels, reference, *arguments, **options
        )

    def description(self) -> str:
        """PML's description and the metric."""
        return "_".join(filter(None, [super().description(), "cosine"]))


class _TorchKNN(CustomKNN):
    """PML's CustomKNN by cosine similarity, which can be pickled after a call as well."""

    def __init__(self):
        super().__init__(CosineSimilarity(), _QUERY_BATCH)

    def __call__(self, query, k, reference, ref_includes_query=False):
        try:
            return super().__call__(query, k, reference, ref_includes_query)
        finally:
            # PML leaves a local function here, which pickle refuses.
            self.distance.iter_fn = None


def _normalized(rows):
    return torch.nn.functional.normalize(c_f.numpy_to_torch(rows).float())


def _sklearn_kmeans(x, nmb_clusters):
    from sklearn.cluster import KMeans

    kmeans = KMeans(nmb_clusters, n_init=1, max_iter=20, random_state=0)
    return torch.from_numpy(kmeans.fit_predict(c_f.to_numpy(x))).long().to(x.device)
