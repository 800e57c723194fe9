"""CosineAccuracyCalculator: PML's AccuracyCalculator for the flat twin of a hyperbolic space."""

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils import common_functions as c_f
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN, FaissKNN

from .recall_at_k_mixin import RecallAtKMixin
from .retrieval import faiss_or_none

_QUERY_BATCH = 1024  # queries a torch search compares with all references at a time


class CosineAccuracyCalculator(RecallAtKMixin, AccuracyCalculator):
    """PML's AccuracyCalculator for a flat space: cosine ranking, with recall at any K.

    Embeddings are L2-normalised here, so that they can come raw from a tester that scores a
    hyperbolic space of the same embedding. Search and k-means are PML's with FAISS, exact torch
    search and scikit-learn's k-means without.

    Args:
        recall_at, k, kwargs: as :class:`RecallAtKMixin`. Functions of the user's own win.

    Raises:
        ValueError: as RecallAtKMixin.
    """

    def __init__(self, *, knn_func=None, kmeans_func=None, **kwargs):
        has_faiss = faiss_or_none() is not None
        if knn_func is None:
            knn_func = FaissKNN() if has_faiss else CustomKNN(CosineSimilarity(), _QUERY_BATCH)
        if kmeans_func is None and not has_faiss:
            kmeans_func = _sklearn_kmeans
        super().__init__(knn_func=knn_func, kmeans_func=kmeans_func, **kwargs)

    def get_accuracy(
        self,
        query: torch.Tensor,
        query_labels: torch.Tensor,
        reference: torch.Tensor | None = None,
        *arguments,
        **options,
    ) -> dict[str, float]:
        """As PML's, of the normalised embeddings; labels of any size stay exact."""
        c_f.LOGGER.info("ranking by cosine similarity")
        reference = None if reference is None else _normalized(reference)
        return super().get_accuracy(
            _normalized(query), query_labels, reference, *arguments, **options
        )

    def description(self) -> str:
        """PML's description and the metric."""
        return "_".join(filter(None, [super().description(), "cosine"]))


def _normalized(rows):
    return torch.nn.functional.normalize(c_f.numpy_to_torch(rows).float())


def _sklearn_kmeans(x, nmb_clusters):
    from sklearn.cluster import KMeans

    kmeans = KMeans(nmb_clusters, n_init=1, max_iter=20, random_state=0)
    return torch.from_numpy(kmeans.fit_predict(c_f.to_numpy(x))).long().to(x.device)
