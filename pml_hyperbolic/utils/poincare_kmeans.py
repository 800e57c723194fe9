"""PoincareKMeans: k-means in hyperbolic space with Lorentzian centroids."""

import torch

from ..distances import PoincareDistance
from ..functional.validation import check_count
from .certified_search import nearest
from .lifted_points import FLOAT64_CHUNK, LiftedPoints, as_rows, check_hyperbolic, slices

_SEEDING_ROUNDS = 32


class PoincareKMeans:
    """K-means in hyperbolic space, with the interface of PML's ``FaissKMeans``.

    Points are assigned to the nearest centroid by geodesic distance, with the exact search of
    :class:`PoincareKNN`. A centroid is the normalised sum of its points on the hyperboloid: the
    closed-form minimiser of their squared Lorentzian distances ``2 (cosh(sqrt(c) d) - 1) / c``,
    which increase with the geodesic distance. So both steps lower one objective, and the iteration
    converges. The Fréchet mean would need an inner iteration per cluster for the same guarantee.
    The centroid is also the Einstein (gyro) midpoint with equal weights.

    Args:
        distance: the PoincareDistance or PoincareSimilarity that holds the geometry.
        niter: largest number of iterations, >= 1. Default 20, as PML uses FAISS with.
        nredo: number of runs from different seeds, of which the best is kept, >= 1. Default 1.
        seed: of the random start. Default 0: equal inputs give equal labels.

    Raises:
        ValueError: an argument is out of range; at call time, fewer points than clusters, or
            embeddings that :class:`PoincareKNN` would refuse.
        TypeError: ``distance`` holds no hyperbolic geometry.

    Source: Law et al., "Lorentzian Distance Learning", ICML 2019 (centroid); Arthur and
    Vassilvitskii 2007 (k-means++ start; we take at most 32 rounds of several seeds each, as Bahmani
    et al. 2012 do for very many clusters).
    """

    def __init__(
        self, distance: PoincareDistance, *, niter: int = 20, nredo: int = 1, seed: int = 0
    ):
        name = type(self).__name__
        self.distance = check_hyperbolic(name, distance)
        self.niter = check_count(name, "niter", niter)
        self.nredo = check_count(name, "nredo", nredo)
        self.seed = seed

    def __call__(self, x: torch.Tensor, nmb_clusters: int) -> torch.Tensor:
        """Cluster raw embeddings (N, D); returns (N,) long labels below ``nmb_clusters``."""
        rows = as_rows("x", x)
        nmb_clusters = check_count(type(self).__name__, "nmb_clusters", nmb_clusters)
        if nmb_clusters > len(rows):
            raise ValueError(
                f"nmb_clusters must be at most the number of points, {len(rows)}, "
                f"got {nmb_clusters}: ask for fewer clusters"
            )
        points = LiftedPoints(rows, self.distance)
        generator = torch.Generator().manual_seed(self.seed)
        runs = (self._run(points, nmb_clusters, generator) for _ in range(self.nredo))
        _, labels = min(runs, key=lambda run: run[0])
        return labels.to(rows.device)

    def _run(self, points, count, generator):
        """One run from one start: the final cost and labels."""
        ball = PoincareDistance(c=points.c, clip_radius=None, inputs="ball")
        centroids = points.ball_points(_plus_plus_seeds(points, count, generator))
        labels = None
        for iteration in range(self.niter + 1):
            found = nearest(points, LiftedPoints(centroids, ball), 1)
            previous, labels, cost = labels, found.indices[:, 0], found.squared_sinh[:, 0]
            settled = previous is not None and torch.equal(previous, labels)
            if settled or iteration == self.niter:
                break
            centroids = lorentz_centroids(points, labels, cost, count)
        return float(cost.sum()), labels


def lorentz_centroids(
    points: LiftedPoints, labels: torch.Tensor, cost: torch.Tensor, count: int
) -> torch.Tensor:
    """(count, D) float64 ball points: the Lorentzian centroid of each cluster.

    Args:
        points: N points.
        labels: (N,) long clusters of the points, below ``count``.
        cost: (N,) how badly each point fits its cluster. An empty cluster restarts at the point
            that fits worst.
        count: number of clusters.
    """
    size = (count, points.d)
    space = torch.zeros(size, dtype=torch.float64, device=points.device)
    for rows in slices(len(points), FLOAT64_CHUNK):
        space.index_add_(0, labels[rows], points.space(rows))
    time = torch.zeros_like(space[:, 0]).index_add_(0, labels, 1 + points.excess).unsqueeze(1)
    norm = torch.linalg.vector_norm(space, dim=1, keepdim=True)
    mass = ((time - norm).clamp(min=0) * (time + norm)).sqrt()
    below = time + mass
    # Rounding must not put a far centroid on the boundary.
    inside = 1 - 2.0**-48
    below = torch.maximum(below, norm / inside)
    filled = torch.bincount(labels, minlength=count) > 0
    centroids = space / torch.where(filled.unsqueeze(1), points.sqrt_c * below, 1)
    empty = (~filled).nonzero().squeeze(1)
    if len(empty):
        worst = cost.topk(len(empty)).indices
        centroids[empty] = points.ball_points(worst)
    return centroids


def _plus_plus_seeds(points, count, generator):
    """Rows to start from: k-means++ sampling by squared Lorentzian distance."""
    total = len(points)
    closest = torch.ones(total, dtype=torch.float64)
    chosen = torch.zeros(total, dtype=torch.bool)
    rounds = min(count, _SEEDING_ROUNDS)
    for number in range(rounds):
        batch = count * (number + 1) // rounds - count * number // rounds
        weights = closest.masked_fill(chosen, 0)
        # Where fewer distinct points are left than seeds, any point not yet chosen will do.
        if int((weights > 0).sum()) < batch:
            weights = (~chosen).double()
        fresh = torch.multinomial(weights / weights.max(), batch, generator=generator)
        chosen[fresh] = True
        if number == rounds - 1:
            break
        fresh = fresh.to(points.device)
        seeds, excess = points.space(fresh), points.excess[fresh]
        to_fresh = torch.cat(
            [
                torch.addmm(
                    excess + (1 + excess) * points.excess[rows].unsqueeze(1),
                    points.space(rows),
                    seeds.T,
                    alpha=-1,
                )
                .amin(1)
                .cpu()
                for rows in slices(total, FLOAT64_CHUNK)
            ]
        ).clamp_(min=0)
        closest = to_fresh if number == 0 else torch.minimum(closest, to_fresh)
    return chosen.nonzero().squeeze(1).to(points.device)
