"""Retrieval, clustering and accuracy in hyperbolic space."""

from typing import TYPE_CHECKING, Any

from .accuracy_calculator import HyperbolicAccuracyCalculator
from .cosine_accuracy_calculator import CosineAccuracyCalculator
from .cosine_knn import CosineKNN
from .embedding_space import EmbeddingSpace
from .embedding_spaces_calculator import EmbeddingSpacesCalculator
from .poincare_kmeans import PoincareKMeans
from .recall_at_k import RecallAtKMixin
from .retrieval import PoincareKNN

if TYPE_CHECKING:
    from ..distributed import DistributedLoss

__all__ = [
    "CosineAccuracyCalculator",
    "CosineKNN",
    "DistributedLoss",
    "EmbeddingSpace",
    "EmbeddingSpacesCalculator",
    "HyperbolicAccuracyCalculator",
    "PoincareKMeans",
    "PoincareKNN",
    "RecallAtKMixin",
]


def __getattr__(name: str) -> Any:
    """``DistributedLoss`` lives in ``distributed``; importing it from here works as well."""
    if name == "DistributedLoss":
        from ..distributed import DistributedLoss

        return DistributedLoss
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
