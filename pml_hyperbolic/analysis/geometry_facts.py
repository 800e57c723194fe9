"""GeometryFacts: how hyperbolic a hyperbolic embedding really is, measured on its points."""

from dataclasses import dataclass

import torch

from ..distances import PoincareDistance
from ..functional.hyperbolicity import curvature_of_delta, relative_delta
from ..utils.retrieval import PoincareKNN

# Gromov's delta costs the cube of the points.
_DELTA_SAMPLE = 500
# All radii within 1 % of their mean: to the eye, and to a ranking, one sphere.
_ONE_SPHERE = 0.01
_SAME_RANKING = 0.99


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

    @property
    def sentence(self) -> str:
        """The facts in one plain sentence, with the advice that follows from them."""
        if self.saturation == 1:
            return (
                "All embeddings lie at the clip radius: this ranking is the cosine ranking. "
                "Lower protocol.optimizer.head_lr, train for fewer steps, or raise clip_radius."
            )
        if self.radius_spread < _ONE_SPHERE:
            return (
                f"All radii lie within a few percent of {self.mean_radius:.2f}, so that the "
                f"embeddings form a sphere: the ranking is nearly the cosine ranking."
            )
        if self.cosine_agreement >= _SAME_RANKING:
            return (
                f"The radii differ (by {self.radius_spread:.0%} of their mean), but "
                f"{self.cosine_agreement:.1%} of the {self.neighbors} nearest neighbors are those "
                f"by cosine: the radius hardly matters for this ranking."
            )
        return (
            f"The radii differ (by {self.radius_spread:.0%} of their mean) and "
            f"{1 - self.cosine_agreement:.0%} of the {self.neighbors} nearest neighbors are not "
            f"those by cosine: the radius takes part in this ranking."
        )


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
    radii = distance.to_ball(embeddings).double().norm(dim=1)
    # The tangent norm of a ball point x is artanh(sqrt(c) |x|) / sqrt(c).
    radii = torch.atanh(distance.c**0.5 * radii) / distance.c**0.5
    geodesics = distance(embeddings[order[:_DELTA_SAMPLE]]).double()
    # Coincident points have no diameter to divide by.
    delta = float(relative_delta(geodesics)) if geodesics.amax() > 0 else 0.0
    return GeometryFacts(
        saturation=float(distance.clip_saturation(embeddings)),
        mean_radius=float(radii.mean()),
        radius_spread=float(radii.std() / radii.mean().clamp(min=1e-12)),
        cosine_agreement=_cosine_agreement(embeddings, distance, order[:queries], neighbors),
        neighbors=neighbors,
        relative_delta=delta or None,
        suggested_c=curvature_of_delta(delta) if delta else None,
    )


def _cosine_agreement(embeddings, distance, queries, k):
    """Mean share of the k nearest neighbors by geodesic distance that cosine has too."""
    knn = PoincareKNN(distance)
    _, geodesic = knn(embeddings[queries], k + 1, embeddings, False)
    unit = torch.nn.functional.normalize(embeddings.double())
    cosine = unit[queries] @ unit.T
    rows = torch.arange(len(queries))
    cosine[rows, queries] = -torch.inf
    cosine = cosine.topk(k, dim=1).indices
    # The query itself is left out wherever it stands: ties may put another point first.
    own = geodesic == queries[:, None]
    own[~own.any(1), -1] = True
    geodesic = geodesic[~own].view(len(queries), k)
    shared = (geodesic[:, :, None] == cosine[:, None, :]).any(2)
    return float(shared.double().mean())
