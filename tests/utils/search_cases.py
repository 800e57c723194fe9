"""Embeddings that are hard to search, and brute force in float64, written from the arccosh form."""

import math

import torch

from pml_hyperbolic.distances import PoincareDistance

BALL = PoincareDistance(c=1.0, clip_radius=None, inputs="ball")


def brute_force(query, reference, distance, leave_out_own=False):
    """All distances in float64, row by row from the direct difference of the mapped points."""
    c = distance.c
    x, y = distance.to_ball(query.double()), distance.to_ball(reference.double())
    inner = 1 - c * y.square().sum(1)
    rows = [2 * c * (p - y).square().sum(1) / ((1 - c * p.square().sum()) * inner) for p in x]
    w = torch.stack(rows)
    distances = torch.log1p(w + (w * (w + 2)).sqrt()) / math.sqrt(c)
    if leave_out_own:
        distances.fill_diagonal_(math.inf)
    return distances


def assert_exact(found, expected, k, tolerance=1e-10):
    """Same distances as brute force, and same indices except where distances tie."""
    distances, indices = found
    best, order = expected.sort(dim=1, stable=True)
    rtol = tolerance if distances.dtype == torch.float64 else 1e-6
    torch.testing.assert_close(distances.double(), best[:, :k], rtol=rtol, atol=1e-15)
    mine = expected.gather(1, indices)
    differs = indices != order[:, :k]
    gap = (mine - best[:, :k]).abs() / best[:, :k].clamp(min=1e-300)
    assert bool((gap[differs] < tolerance).all())
    assert all(len(set(row)) == k for row in indices.tolist())


def directions(count, size):
    return torch.nn.functional.normalize(torch.randn(count, size, dtype=torch.float64))


def clipped():
    return 10 * directions(400, 32).float(), PoincareDistance()


def smoothly_clipped():
    lengths = 10 * torch.rand(400, 1, dtype=torch.float64)
    return directions(400, 32) * lengths, PoincareDistance(clip="smooth")


def near_boundary():
    return 0.9999 * directions(400, 32), BALL


def near_duplicates():
    base = torch.randn(40, 16, dtype=torch.float64)
    return (base.repeat(10, 1) + 1e-4 * directions(400, 16)), PoincareDistance()


def near_duplicates_at_the_boundary():
    base = directions(20, 16).repeat(20, 1) + 1e-4 * directions(400, 16)
    return 0.9999 * torch.nn.functional.normalize(base), BALL


def cloud_at_the_boundary():
    """More near-ties than a shortlist holds, which float32 orders at random."""
    base = directions(1, 16) + 1e-4 * directions(200, 16)
    return 0.9999 * torch.nn.functional.normalize(base), BALL


def mixed_radii():
    return directions(400, 32) * torch.rand(400, 1, dtype=torch.float64) * 0.999, BALL


def flat_twin():
    return torch.randn(400, 32), PoincareDistance(c=1e-4)


def tiny_norms():
    return 1e-12 * torch.randn(100, 8), PoincareDistance()


CASES = [
    clipped,
    smoothly_clipped,
    near_boundary,
    near_duplicates,
    near_duplicates_at_the_boundary,
    cloud_at_the_boundary,
    mixed_radii,
    flat_twin,
    tiny_norms,
]
