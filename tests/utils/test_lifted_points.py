"""Points on the hyperboloid against lorentz_lift."""

import torch

from pml_hyperbolic.functional.poincare import lorentz_lift
from pml_hyperbolic.utils.lifted_points import LiftedPoints
from tests.utils.search_cases import clipped


def test_lift_agrees_with_lorentz_lift():
    x, distance = clipped()
    points = LiftedPoints(x, distance)
    lifted = lorentz_lift(distance.to_ball(x.double()), c=distance.c)
    every = slice(0, len(x))
    torch.testing.assert_close(1 + points.excess, lifted[:, 0], rtol=1e-12, atol=0)
    torch.testing.assert_close(points.space(every), lifted[:, 1:], rtol=1e-12, atol=1e-14)
