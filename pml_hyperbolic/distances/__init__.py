"""Hyperbolic distances for pytorch-metric-learning."""

from .poincare_distance import PoincareDistance
from .poincare_similarity import PoincareSimilarity
from .riemannian_cosine_similarity import RiemannianCosineSimilarity

__all__ = ["PoincareDistance", "PoincareSimilarity", "RiemannianCosineSimilarity"]
