"""Pure tensor functions of hyperbolic metric learning: what geoopt lacks, without state."""

from .class_ancestors import class_ancestors
from .hier import hier_loss, hierarchical_triplet_loss
from .hyperbolicity import gromov_delta, suggested_curvature
from .hyphc import hyphc_loss, lca_depth
from .pairwise import poincare_cdist, tangent_cdist
from .poincare import (
    lorentz_lift,
    poincare_distance,
    to_poincare_ball,
)
from .reciprocal_neighbors import reciprocal_neighbor_triplets

__all__ = [
    "class_ancestors",
    "gromov_delta",
    "hier_loss",
    "hierarchical_triplet_loss",
    "hyphc_loss",
    "lca_depth",
    "lorentz_lift",
    "poincare_cdist",
    "poincare_distance",
    "reciprocal_neighbor_triplets",
    "suggested_curvature",
    "tangent_cdist",
    "to_poincare_ball",
]
