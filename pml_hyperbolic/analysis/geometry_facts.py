"""GeometryFacts: how hyperbolic a hyperbolic embedding really is, measured on its points."""

from dataclasses import dataclass

import torch

from ..distances import PoincareDistance
from ..functional.hyperbolicity import curvature_of_delta, relative_delta
from .geometry import mapped_points, nearest_neighbors, origin_distances, point_distances

# Gromov's delta costs the cube of the points.
_DELTA_SAMPLE = 500


@dataclass(frozen=True)
class GeometryFacts:
    """What distinguishes an embedding in the ball from its directions alone.

    Attributes:
        saturation: share of the embeddings at the clip radius, from 0 to 1.
        mean_radius: mean tangent norm after clipping.
        radius_spread: standard deviation of these norms divided by their mean.
        cosine_agreement: mean share of the k nearest neighbors by geodesic distance that are
            also among the k nearest by cosine, from 0 to 1.
        neighbors: k.
        relative_delta: Gromov's delta of the geodesic distances, ``2 delta / diameter``: 0 for a
            tree, 1 at most. None if all points coincide.
        suggested_c: the curvature magnitude that this delta suggests, None if it suggests none.
    """

    saturation: float
    mean_radius: float
    radius_spread: float
    cosine_agreement: float
    neighbors: int
    relative_delta: float | None
    suggested_c: float | None


def geometry_facts(
    embeddings: torch.Tensor,
    distance: PoincareDistance,
    *,
    neighbors: int = 10,
    queries: int = 1000,
    seed: int = 0,
) -> GeometryFacts:
    """Measure how far an embedding uses the radius that hyperbolic space adds.

    Args:
        embeddings: (N, D) raw embeddings as ``distance`` takes them, N >= 4.
        distance: the distance that ranks them.
        neighbors: k of the comparison with the cosine ranking, at most N - 1. Default 10.
        queries: number of embeddings, drawn at random, whose neighbors are compared. Default 1000.
        seed: of the draws. Default 0.

    Raises:
        ValueError: fewer than four embeddings.
    """
    if len(embeddings) < 4:
        raise ValueError(f"geometry_facts needs at least four embeddings, got {len(embeddings)}")
    embeddings = embeddings.detach().float()
    neighbors = min(neighbors, len(embeddings) - 1)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(embeddings), generator=generator)
    queried = order[:queries].numpy()
    # A point of tangent norm r lies 2r from the origin.
    radii = torch.from_numpy(origin_distances(embeddings, distance)) / 2
    sample = mapped_points(embeddings[order[:_DELTA_SAMPLE]], distance)
    geodesics = point_distances(sample, sample, distance)
    # Coincident points have no diameter to divide by.
    delta = float(relative_delta(geodesics)) if geodesics.amax() > 0 else 0.0
    return GeometryFacts(
        saturation=float(distance.clip_saturation(embeddings)),
        mean_radius=float(radii.mean()),
        radius_spread=float(radii.std() / radii.mean().clamp(min=1e-12)),
        cosine_agreement=_cosine_agreement(embeddings, distance, queried, neighbors),
        neighbors=neighbors,
        relative_delta=delta or None,
        suggested_c=curvature_of_delta(delta) if delta else None,
    )


def _cosine_agreement(embeddings, distance, queries, k):
    """Mean share of the k nearest neighbors by geodesic distance that cosine has too."""
    _, geodesic = nearest_neighbors(embeddings, k, distance, query=queries)
    _, cosine = nearest_neighbors(embeddings, k, None, query=queries)
    return float((geodesic[:, :, None] == cosine[:, None, :]).any(2).mean())
