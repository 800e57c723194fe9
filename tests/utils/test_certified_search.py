"""The bound that certifies a search, for every pair of points."""

import torch

from pml_hyperbolic.utils.certified_search import error_bound
from pml_hyperbolic.utils.lifted_points import LiftedPoints
from tests.utils.search_cases import CASES


def test_score_brackets_the_exact_value():
    """The bound of the derivation holds for every pair, and is not vacuous."""
    for case in CASES:
        x, distance = case()
        points = LiftedPoints(x, distance)
        every = slice(0, len(x))
        ball = points.ball_points(every)
        gaps = torch.stack([(p - ball).square().sum(1) for p in ball])
        w = 2 * distance.c * gaps * torch.outer(points.conformal, points.conformal)
        for dtype in (torch.float32, torch.float64):
            eta, floor = error_bound(x.shape[1], dtype)
            left = points.as_queries(every, dtype, eta, floor)
            scores = (left @ points.as_references(every, dtype).T).double()
            a, s = points.excess, points.spread
            magnitude = torch.outer(1 + a, a) + a[:, None] + torch.outer(s, s)
            assert bool((scores >= -w).all())
            assert bool((scores - 2.02 * (eta * magnitude + floor) <= -w).all())
