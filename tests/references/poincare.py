"""The Poincare ball at 50 digits, by Moebius addition: slow, and meant for single points.

docs/mathematics.md, sections 1 to 3.

Coordinates and curvature are taken as the exact binary numbers they are, so a float32 tensor's
rounded coordinates are the points that are measured.
"""

import mpmath
import torch

mpmath.mp.dps = 50


def to_mp(point):
    """A list of mpf from a tensor row or any sequence of numbers."""
    if isinstance(point, torch.Tensor):
        point = point.detach().double().tolist()
    return [mpmath.mpf(p) for p in point]


def dot(x, y):
    return mpmath.fdot(x, y)


def norm(x):
    return mpmath.sqrt(dot(x, x))


def scale(factor, x):
    return [factor * p for p in x]


def mobius_add(x, y, c):
    """x (+) y on the ball of curvature -c."""
    c = mpmath.mpf(c)
    xx, yy, xy = dot(x, x), dot(y, y), dot(x, y)
    left, right = 1 + 2 * c * xy + c * yy, 1 - c * xx
    below = 1 + 2 * c * xy + c * c * xx * yy
    return [(left * p + right * q) / below for p, q in zip(x, y, strict=True)]


def mobius_scale(t, x, c):
    """t (x) x: the point a fraction t along the geodesic from the origin to x."""
    length = norm(x)
    if length == 0:
        return x
    root = mpmath.sqrt(mpmath.mpf(c))
    return scale(mpmath.tanh(t * mpmath.atanh(root * length)) / (root * length), x)


def distance(x, y, c):
    """(2 / sqrt c) artanh(sqrt c |(-x) (+) y|) as an mpf."""
    x, y, root = to_mp(x), to_mp(y), mpmath.sqrt(mpmath.mpf(c))
    return 2 / root * mpmath.atanh(root * norm(mobius_add(scale(-1, x), y, c)))


def distance_matrix(x, y, c):
    """(N, M) float64, each entry rounded once from 50 digits."""
    return torch.tensor([[float(distance(p, q, c)) for q in y] for p in x], dtype=torch.float64)


def distances(x, y, c):
    """(N,) float64 between corresponding rows, each rounded once from 50 digits."""
    return torch.tensor(
        [float(distance(p, q, c)) for p, q in zip(x, y, strict=True)], dtype=torch.float64
    )


def expmap0(v, c, clip_radius=None, clip="hard"):
    """Clip to ``clip_radius``, then the exponential map at the origin. A list of mpf."""
    v, root = to_mp(v), mpmath.sqrt(mpmath.mpf(c))
    length = norm(v)
    if length == 0:
        return v
    radius = length if clip_radius is None else min(length, mpmath.mpf(clip_radius))
    if clip == "smooth":
        radius = mpmath.mpf(clip_radius) * mpmath.tanh(length / mpmath.mpf(clip_radius))
    return scale(mpmath.tanh(root * radius) / (root * length), v)
