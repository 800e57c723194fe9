"""Hyperbolic distances for pytorch-metric-learning."""

from .poincare_distance import PoincareDistance
from .poincare_similarity import PoincareSimilarity
from .riemannian_cosine_similarity import RiemannianCosineSimilarity
from .shared_geometry import check_shared_geometry

__all__ = [
    "PoincareDistance",
    "PoincareSimilarity",
    "RiemannianCosineSimilarity",
    "check_shared_geometry",
]
