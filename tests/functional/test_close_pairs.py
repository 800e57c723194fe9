"""Close pairs: where the Gram form cancels, distances and gradients keep their accuracy."""

import math

import pytest
import torch

from pml_hyperbolic.functional import (
    poincare_cdist,
    poincare_distance,
    to_poincare_ball,
)
from tests.devices import DEVICES
from tests.functional.points import (
    ALL_PAIRS_BOUND,
    CURVATURES,
    ball_points,
    close_pairs,
    norm_error,
    pairs_at_gap,
    relative_error,
)
from tests.references import poincare as reference

C = 0.3


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ALL_PAIRS_BOUND, ids=str)
@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("dim", [3, 128, 1024])
def test_all_pairs_distance_agrees_with_row_wise_on_many_close_pairs(
    dtype, c, dim, device, check_accuracy
):
    # Row-wise distances in float64 are within 1e-12 of 50 digits, so they can judge many pairs.
    x, y = (p.to(device, dtype) for p in close_pairs(1500, dim, c=c))
    exact = poincare_distance(x.double(), y.double(), c=c)
    measured = exact * math.sqrt(c) >= 0.03
    assert measured.float().mean() > 0.99
    worst = relative_error(poincare_cdist(x, y, c=c).diagonal()[measured], exact[measured])
    row = f"poincare_cdist {dtype} D={dim} close pairs, {device}"
    check_accuracy(row, worst, ALL_PAIRS_BOUND[dtype])


@pytest.mark.parametrize("refine", [False, True])
def test_unrefined_and_refined_gradients_are_finite_for_repeated_and_zero_rows(refine):
    x = ball_points(6, 4, c=0.1, radius=0.6, dtype=torch.float32)
    x = torch.cat([x, x, torch.zeros(3, 4)]).requires_grad_()
    poincare_cdist(x, x, c=0.1, refine=refine).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_refined_all_pairs_distance_is_accurate_at_every_distance(check_accuracy):
    # The accuracy that poincare_cdist documents.
    worst = 0.0
    for radius in (0.01, 0.3, 0.63):
        for gap in (1e-7, 1e-6, 1e-4, 1e-2, 0.29):
            if gap < radius:
                x, y = pairs_at_gap(gap, 0.999999 * radius, 64, c=0.1, dtype=torch.float32)
                exact = reference.distance_matrix(x, y, 0.1)
                worst = max(worst, relative_error(poincare_cdist(x, y, c=0.1), exact))
    check_accuracy("poincare_cdist torch.float32 at every distance", worst, 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_close_pairs_point_apart(dtype):
    # d moves at 2 / (1 - c|x|^2) along the segment between two close points.
    x, y = (p.to(dtype).requires_grad_() for p in close_pairs(8, 16, c=0.1))
    poincare_cdist(x, y, c=0.1).diagonal().sum().backward()
    rows = [p.detach().double().requires_grad_() for p in (x, y)]
    poincare_distance(*rows, c=0.1).sum().backward()
    for ours, exact in zip((x, y), rows, strict=True):
        error = (ours.grad.double() - exact.grad).norm(dim=1) / exact.grad.norm(dim=1)
        assert float(error.max()) <= 1e-2


@pytest.mark.parametrize("gap", [1e-4, 1e-3, 1e-2])
def test_gradients_of_close_pairs_in_float32(gap):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 64, generator=generator)
    x = 1.5 * x / x.norm(dim=1, keepdim=True)
    away = torch.randn(40, 64, generator=generator)
    y = (to_poincare_ball(x, c=C) + gap * away / away.norm(dim=1, keepdim=True)).requires_grad_()
    x = to_poincare_ball(x, c=C).requires_grad_()
    poincare_cdist(x, y, c=C).diagonal().sum().backward()
    exact_x, exact_y = (v.detach().double().requires_grad_() for v in (x, y))
    poincare_distance(exact_x, exact_y, c=C).sum().backward()
    assert norm_error(x.grad, exact_x.grad) <= 1e-5
    assert norm_error(y.grad, exact_y.grad) <= 1e-5


def test_differentiable_gradients_of_close_pairs_are_accurate_in_float32():
    generator = torch.Generator().manual_seed(0)
    x = to_poincare_ball(torch.randn(40, 64, generator=generator) / 8, c=C)
    y = x + 1e-4 * torch.randn(40, 64, generator=generator) / 8
    x, exact = x.requires_grad_(), x.detach().double().requires_grad_()
    (ours,) = torch.autograd.grad(poincare_cdist(x, y, c=C).diagonal().sum(), x, create_graph=True)
    (theirs,) = torch.autograd.grad(poincare_distance(exact, y.double(), c=C).sum(), exact)
    assert norm_error(ours.detach(), theirs) <= 1e-5


def test_samples_of_vmap_are_refined():
    x = to_poincare_ball(torch.randn(3, 6, 8), c=C)
    y = x[0] + 1e-4 * torch.randn(6, 8)

    def distances(x):
        return poincare_cdist(x, y, c=C)

    each = torch.stack([distances(sample) for sample in x])
    assert torch.equal(torch.vmap(distances)(x), each)
    exact = poincare_distance(x[0].double(), y.double(), c=C)
    assert relative_error(each[0].diagonal(), exact) <= 1e-5


@pytest.mark.usefixtures("as_on_accelerators")
def test_accelerators_refine_only_when_asked():
    x, y = (p.float() for p in close_pairs(20, 16, c=C))
    default, plain, refined = (
        poincare_cdist(x, y, c=C, refine=refine) for refine in (None, False, True)
    )
    assert torch.equal(default, plain)
    assert not torch.equal(default, refined)
    exact = poincare_distance(x.double(), y.double(), c=C)
    assert relative_error(refined.diagonal(), exact) <= 1e-6


@pytest.mark.parametrize("gap", [1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("dim", [2, 128])
def test_unrefined_distances_lose_accuracy_with_the_square_of_the_gap(gap, dim):
    # The accuracy that poincare_cdist documents, with room for the dimension.
    x, y = pairs_at_gap(0.5 * gap, 0.5, dim, c=C, dtype=torch.float32, n=50)
    x, y = (p[:, torch.randperm(dim)] for p in (x, y))
    exact = poincare_distance(x.double(), y.double(), c=C)
    error = relative_error(poincare_cdist(x, y, c=C, refine=False).diagonal(), exact)
    assert error <= min(3e-6 / gap**2, 1.01)
