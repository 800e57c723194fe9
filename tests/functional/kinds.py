"""All-pairs distances of all kinds of input: points of the ball, and tangent vectors, by clip."""

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


KINDS = ["ball", "tangent", "smooth"]


def to_ball(v, clip="hard"):
    return to_poincare_ball(v, c=C, clip_radius=CLIP_RADIUS, clip=clip)


def mapping_options(kind):
    """Arguments of tangent_cdist for tangent vectors of this kind."""
    return {"clip_radius": CLIP_RADIUS, "clip": "smooth" if kind == "smooth" else "hard"}


def fast(kind, x, y):
    if kind == "ball":
        return poincare_cdist(x, y, c=C)
    return tangent_cdist(x, y, c=C, **mapping_options(kind))


def mapping_of(kind):
    if kind == "ball":
        return lambda v: v
    return lambda v: to_ball(v, mapping_options(kind)["clip"])


def vectors(n, d, kind, generator, columns):
    """Rows on both sides of the clip radius, or ball points, some of them nearly equal."""
    v = torch.randn(n, d, generator=generator, dtype=torch.float64)
    v = v / v.norm(dim=1, keepdim=True)
    v = v * (0.05 + 2 * torch.rand(n, 1, generator=generator, dtype=torch.float64))
    if n > 2:
        v[1] = v[0] + 1e-3 * v[1]
    v = to_poincare_ball(v, c=C) if kind == "ball" else v
    return v.T.contiguous().T if columns else v
