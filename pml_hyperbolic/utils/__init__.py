"""Retrieval, clustering and accuracy in hyperbolic space; losses over several processes."""

from .accuracy_calculator import HyperbolicAccuracyCalculator
from .cosine_accuracy_calculator import CosineAccuracyCalculator
from .distributed_loss import DistributedLoss
from .embedding_spaces_calculator import EmbeddingSpace, EmbeddingSpacesCalculator
from .recall_at_k_mixin import RecallAtKMixin
from .retrieval import PoincareKMeans, PoincareKNN

__all__ = [
    "CosineAccuracyCalculator",
    "DistributedLoss",
    "EmbeddingSpace",
    "EmbeddingSpacesCalculator",
    "HyperbolicAccuracyCalculator",
    "PoincareKMeans",
    "PoincareKNN",
    "RecallAtKMixin",
]
