"""CosineAccuracyCalculator: PML's AccuracyCalculator with cosine ranking and recall at any K."""

from collections.abc import Callable
from typing import Any

import torch

from .._pml import IS_VERSION_3, AccuracyCalculator, FaissKNN, logger, numpy_to_torch
from ..functional.validation import check_finite
from .cosine_knn import CosineKNN
from .inner_product_search import faiss_or_none
from .recall_at_k import RecallAtKMixin


class CosineAccuracyCalculator(RecallAtKMixin, AccuracyCalculator):
    """PML's AccuracyCalculator for a flat space: cosine ranking, with recall at any K.

    The calculator L2-normalises embeddings itself, so that they can come raw from a tester that
    scores a hyperbolic space of the same embedding.

    Args:
        knn_func: default PML's FaissKNN if FAISS is installed, else :class:`CosineKNN`.
        kmeans_func: default that of PML 2, its FaissKMeans, if FAISS is installed; else, and with
            PML 3, scikit-learn's k-means.
        recall_at, kwargs: as :class:`RecallAtKMixin`; kwargs are also those of PML's calculator.

    Raises:
        ValueError: as RecallAtKMixin; at call time, embeddings that are not finite.
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
            knn_func = FaissKNN() if has_faiss else CosineKNN()
        # The calculator of PML 3 has no k-means of its own.
        if kmeans_func is None and (IS_VERSION_3 or not has_faiss):
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
        logger().info("ranking by cosine similarity")
        reference = None if reference is None else _normalized(reference)
        return super().get_accuracy(
            _normalized(query), query_labels, reference, *arguments, **options
        )

    def description(self) -> str:
        """PML's description and the metric."""
        return "_".join(filter(None, [super().description(), "cosine"]))


def _normalized(rows):
    rows = numpy_to_torch(rows)
    check_finite("CosineAccuracyCalculator", rows)
    return torch.nn.functional.normalize(rows.float())


def _sklearn_kmeans(x, nmb_clusters):
    from sklearn.cluster import KMeans

    kmeans = KMeans(nmb_clusters, n_init=1, max_iter=20, random_state=0)
    return torch.from_numpy(kmeans.fit_predict(x.cpu().numpy())).long().to(x.device)
