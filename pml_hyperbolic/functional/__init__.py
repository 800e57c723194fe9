"""Pure tensor functions of hyperbolic metric learning: what geoopt lacks, without state."""

from .hierarchy import (
    hierarchical_triplet_loss,
    hyphc_loss,
    lca_depth,
    reciprocal_neighbor_triplets,
)
from .hyperbolicity import gromov_delta, suggested_curvature
from .pairwise import poincare_cdist, tangent_cdist
from .poincare import (
    lorentz_lift,
    poincare_distance,
    to_poincare_ball,
)

__all__ = [
    "gromov_delta",
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
