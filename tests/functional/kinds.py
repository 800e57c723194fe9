"""All-pairs distances of both kinds of input: points of the ball, and tangent vectors."""

import torch

from pml_hyperbolic.functional import (
    poincare_cdist,
    poincare_distance,
    tangent_cdist,
    to_poincare_ball,
)

C, CLIP_RADIUS = 0.3, 1.0


def broadcast_distances(x, y, mapping):
    """The plain form: an (N, M, D) tensor of differences, in float64."""
    x, y = (mapping(v.double()) for v in (x, y))
    return poincare_distance(x.unsqueeze(1), y.unsqueeze(0), c=C)


def to_ball(v):
    return to_poincare_ball(v, c=C, clip_radius=CLIP_RADIUS)


def fast(kind, x, y):
    if kind == "tangent":
        return tangent_cdist(x, y, c=C, clip_radius=CLIP_RADIUS)
    return poincare_cdist(x, y, c=C)


def mapping_of(kind):
    return to_ball if kind == "tangent" else lambda v: v


def vectors(n, d, kind, generator, columns):
    """Rows on both sides of the clip radius, or ball points, some of them nearly equal."""
    v = torch.randn(n, d, generator=generator, dtype=torch.float64)
    v = v / v.norm(dim=1, keepdim=True)
    v = v * (0.05 + 2 * torch.rand(n, 1, generator=generator, dtype=torch.float64))
    if n > 2:
        v[1] = v[0] + 1e-3 * v[1]
    v = v if kind == "tangent" else to_poincare_ball(v, c=C)
    return v.T.contiguous().T if columns else v
