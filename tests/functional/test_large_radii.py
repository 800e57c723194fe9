"""Gradients of all-pairs distances near the boundary, against mpmath in polar coordinates."""

import math

import mpmath
import pytest
import torch

from pml_hyperbolic.functional.pairwise import tangent_cdist
from pml_hyperbolic.functional.poincare import ball_scale


def reference_gradient(v, others, c):
    """The gradient to v of the sum of its distances to others, from the law of cosines.

    With R = 2 sqrt(c) |v|, the distance from the origin in units of the radius of curvature,
    ``cosh(sqrt(c) d) = cosh R cosh R' - sinh R sinh R' cos(angle)``.
    """
    root = mpmath.sqrt(mpmath.mpf(c))
    v = [mpmath.mpf(value) for value in v.tolist()]
    norm = mpmath.norm(v)
    direction = [value / norm for value in v]
    gradient = [mpmath.mpf(0)] * len(v)
    for other in others.tolist():
        other = [mpmath.mpf(value) for value in other]
        length = mpmath.norm(other)
        toward = [value / length for value in other]
        cosine = mpmath.fdot(direction, toward)
        near, far = 2 * root * norm, 2 * root * length
        cosh = mpmath.cosh(near) * mpmath.cosh(far)
        cosh -= mpmath.sinh(near) * mpmath.sinh(far) * cosine
        sinh = mpmath.sqrt(cosh**2 - 1)
        along = mpmath.sinh(near) * mpmath.cosh(far) - mpmath.cosh(near) * mpmath.sinh(far) * cosine
        across = mpmath.sinh(near) * mpmath.sinh(far) / (root * norm)
        for i in range(len(v)):
            gradient[i] += 2 * along / sinh * direction[i]
            gradient[i] -= across / sinh * (toward[i] - cosine * direction[i])
    return torch.tensor([float(value) for value in gradient], dtype=torch.float64)


@pytest.mark.parametrize(
    ("dtype", "radii", "tolerance"),
    [
        (torch.float32, (0.01, 1.0, 3.0, 4.0, 5.0, 6.0, 6.5), 2e-6),
        (torch.float64, (0.01, 1.0, 3.0, 6.0, 9.0, 12.0, 16.0), 1e-13),
    ],
)
@pytest.mark.parametrize("c", [0.1, 1.0])
def test_gradients_are_exact_as_far_out_as_the_dtype_reaches(dtype, radii, tolerance, c):
    generator = torch.Generator().manual_seed(0)
    for radius in radii:
        v = torch.randn(9, 5, dtype=torch.float64, generator=generator)
        shrunk = 0.9 + 0.1 * torch.rand(9, 1, dtype=torch.float64, generator=generator)
        v = (torch.nn.functional.normalize(v, dim=1) * shrunk * radius / math.sqrt(c)).to(dtype)
        one = v[:2].clone().requires_grad_()
        tangent_cdist(one, v[2:], c=c).sum().backward()
        with mpmath.workdps(60):
            wanted = torch.stack(
                [reference_gradient(row.double(), v[2:].double(), c) for row in one]
            )
        error = (one.grad.double() - wanted).norm(dim=1) / wanted.norm(dim=1)
        assert error.max() < tolerance, (radius, error)


@pytest.mark.parametrize("clip", ["hard", "smooth"])
def test_beyond_the_reach_of_the_dtype_only_the_direction_counts(clip):
    radius = None if clip == "hard" else 1e9
    norm = torch.tensor([1e3], dtype=torch.float64)
    s, radial, slope, _ = ball_scale(
        norm, c=1.0, clip_radius=radius, clip=clip, dtype=torch.float32
    )
    assert radial.item() == 0
    assert slope.item() == -s.item() < 0
