"""Retrieval, clustering and accuracy in hyperbolic space."""

from .accuracy_calculator import HyperbolicAccuracyCalculator
from .cosine_accuracy_calculator import CosineAccuracyCalculator
from .embedding_spaces_calculator import EmbeddingSpace, EmbeddingSpacesCalculator
from .recall_at_k_mixin import RecallAtKMixin
from .retrieval import PoincareKMeans, PoincareKNN

__all__ = [
    "CosineAccuracyCalculator",
    "EmbeddingSpace",
    "EmbeddingSpacesCalculator",
    "HyperbolicAccuracyCalculator",
    "PoincareKMeans",
    "PoincareKNN",
    "RecallAtKMixin",
]
