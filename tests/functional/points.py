"""Points of a Poincare ball for tests: spread, close together, or of any curvature."""

import math

import torch
from hypothesis import strategies as st

CURVATURES = [1e-4, 0.1, 1.0, 10.0]
# Largest relative error of poincare_cdist for pairs with sqrt(c) d >= 0.03 and sqrt(c)|x| <= 0.629.
ALL_PAIRS_BOUND = {torch.float32: 2e-3, torch.float64: 1e-10}


def ball_points(n, dim, *, c, radius, seed=0, dtype=torch.float64):
    """Random directions, norms uniform up to ``radius / sqrt(c)``."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    lengths = radius / math.sqrt(c) * torch.rand(n, 1, generator=generator, dtype=torch.float64)
    return (x / x.norm(dim=1, keepdim=True) * lengths).to(dtype)


def pairs_at_gap(gap, radius, dim, *, c, dtype, n=4, seed=0):
    """Pairs on the sphere ``sqrt(c)|x| = radius`` whose last coordinates differ by a gap.

    The gap is representable at any size in either dtype, because the first point has a 0 there.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    x[:, -1] = 0
    inner = math.sqrt(max(radius**2 - gap**2, 0)) / math.sqrt(c)
    x = x / x.norm(dim=1, keepdim=True) * inner
    y = x.clone()
    y[:, -1] = gap / math.sqrt(c)
    return x.to(dtype), y.to(dtype)


def close_pairs(n, dim, *, c, radius=0.629, closest=0.03005, widest=0.06, seed=0):
    """Pairs on the sphere ``sqrt(c)|x| = radius`` with ``closest <= sqrt(c) d <= widest``.

    ``sinh(sqrt(c) d / 2) = 2 radius sin(angle / 2) / (1 - radius^2)`` there.
    """
    generator = torch.Generator().manual_seed(seed)
    x, away = torch.randn(2, n, dim, generator=generator, dtype=torch.float64)
    x = x / x.norm(dim=1, keepdim=True)
    away = away - (away * x).sum(1, keepdim=True) * x
    away = away / away.norm(dim=1, keepdim=True)
    gaps = torch.linspace(closest, widest, n, dtype=torch.float64).unsqueeze(1)
    angle = 2 * torch.asin(torch.sinh(gaps / 2) * (1 - radius**2) / (2 * radius))
    y = torch.cos(angle) * x + torch.sin(angle) * away
    return x * radius / math.sqrt(c), y * radius / math.sqrt(c)


def norm_error(measured, exact):
    """The norm of the error, relative to the norm of the exact value."""
    return float((measured.double() - exact).norm() / exact.norm().clamp(min=1e-300))


def relative_error(measured, exact):
    """The largest relative error of any entry."""
    return float(((measured.double() - exact).abs() / exact).max())


@st.composite
def points_and_curvature(draw, count):
    """``count`` points of one random ball, spread from the origin to near the boundary."""
    seed = draw(st.integers(0, 2**31))
    dim = draw(st.integers(1, 20))
    c = 10 ** draw(st.floats(-4, 1))
    radius = draw(st.floats(1e-3, 0.95))
    return ball_points(count, dim, c=c, radius=radius, seed=seed), c
