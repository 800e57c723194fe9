"""Retrieval, clustering and accuracy in hyperbolic space; losses over several processes."""

import importlib
from typing import TYPE_CHECKING, Any

from .accuracy_calculator import HyperbolicAccuracyCalculator
from .cosine_accuracy_calculator import CosineAccuracyCalculator
from .embedding_spaces_calculator import EmbeddingSpace, EmbeddingSpacesCalculator
from .recall_at_k_mixin import RecallAtKMixin
from .retrieval import PoincareKMeans, PoincareKNN

if TYPE_CHECKING:
    from ..distributed import DistributedLoss

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


def __getattr__(name: str) -> Any:
    """``DistributedLoss`` now lives in ``distributed``; its old import still works."""
    if name == "DistributedLoss":
        return importlib.import_module("pml_hyperbolic.distributed").DistributedLoss
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
