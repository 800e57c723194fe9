"""First and second derivatives of all-pairs distances, by autograd and by torch.func."""

import math

import pytest
import torch

from pml_hyperbolic.functional import (
    poincare_cdist,
    tangent_cdist,
)
from pml_hyperbolic.functional.pairwise import plain_poincare_cdist
from tests.functional.kinds import (
    CLIP_RADIUS,
    KINDS,
    C,
    fast,
    mapping_of,
    vectors,
)
from tests.functional.points import (
    CURVATURES,
    ball_points,
)


@pytest.mark.parametrize(
    ("clip_radius", "clip"), [(None, "hard"), (0.7, "hard"), (0.7, "smooth")], ids=str
)
@pytest.mark.parametrize("with_itself", [False, True])
def test_gradcheck_twice(clip_radius, clip, with_itself):
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    y = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)

    def distances(x, y=None):
        y = x if y is None else y
        return tangent_cdist(x, y, c=0.5, clip_radius=clip_radius, clip=clip)

    inputs = (x,) if with_itself else (x, y)
    assert torch.autograd.gradcheck(distances, inputs)
    assert torch.autograd.gradgradcheck(distances, inputs)


@pytest.mark.parametrize("clip", ["hard", "smooth"])
def test_torch_func(clip):
    x = torch.randn(3, 5, 4, dtype=torch.float64)
    y = torch.randn(6, 4, dtype=torch.float64)

    def total(x):
        return tangent_cdist(x, y, c=C, clip_radius=CLIP_RADIUS, clip=clip).square().sum()

    each = torch.stack([torch.func.grad(total)(batch) for batch in x])
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(total))(x), each)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "make_second", [lambda x: x, lambda x: x / 2, lambda x: x[:3]], ids=["x", "x/2", "x[:3]"]
)
@pytest.mark.parametrize("way", ["create_graph", "func.grad", "func.vjp", "func.jacrev"])
def test_gradients_that_can_be_differentiated_equal_plain_ones(kind, make_second, way):
    generator = torch.Generator().manual_seed(0)
    x = (0.4 * torch.randn(6, 4, generator=generator, dtype=torch.float64)).requires_grad_()
    weights = torch.randn(6, len(make_second(x)), generator=generator, dtype=torch.float64)

    def total(x):
        return (fast(kind, x, make_second(x)) * weights).sum()

    (plain,) = torch.autograd.grad(total(x), x)
    if way == "create_graph":
        (other,) = torch.autograd.grad(total(x), x, create_graph=True)
    elif way == "func.vjp":
        (other,) = torch.func.vjp(total, x.detach())[1](torch.ones((), dtype=torch.float64))
    else:
        other = getattr(torch.func, way.removeprefix("func."))(total)(x.detach())
    torch.testing.assert_close(other.detach(), plain)


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("with_itself", [False, True])
def test_all_pairs_distance_passes_gradcheck_twice(c, with_itself):
    # In units of the ball's own radius, where gradcheck's step of 1e-6 is small at any c.
    x = ball_points(4, 3, c=1, radius=0.8).requires_grad_()
    y = ball_points(5, 3, c=1, radius=0.8, seed=1).requires_grad_()

    def distances(x, y=None):
        x = x / math.sqrt(c)
        return math.sqrt(c) * poincare_cdist(x, x if y is None else y / math.sqrt(c), c=c)

    inputs = (x,) if with_itself else (x, y)
    assert torch.autograd.gradcheck(distances, inputs)
    assert torch.autograd.gradgradcheck(distances, inputs)


@pytest.mark.parametrize("with_itself", [False, True])
@pytest.mark.parametrize("kind", ["plain", *KINDS])
def test_first_and_second_derivatives_at_coincident_points_are_zero(kind, with_itself):
    x = torch.tensor([[0.5, -0.25], [0.0, 0.0], [1.5, 0.0]], dtype=torch.float64)

    def total(x):
        y = x if with_itself else x.clone()
        distances = plain_poincare_cdist(x, y, c=0.1) if kind == "plain" else fast(kind, x, y)
        return distances.diagonal().sum()

    assert (torch.func.jacrev(total)(x) == 0).all()
    assert (torch.func.jacrev(torch.func.jacrev(total))(x) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_are_those_of_the_plain_formula(kind):
    x = vectors(4, 3, kind, torch.Generator().manual_seed(0), False)
    y = vectors(2, 3, kind, torch.Generator().manual_seed(1), False)
    mapping = mapping_of(kind)

    def kernel(x):
        return fast(kind, x, y).square().sum() + fast(kind, y, x).sum()

    def plain(x):
        distances = plain_poincare_cdist(mapping(x), mapping(y), c=C)
        return distances.square().sum() + distances.sum()

    torch.testing.assert_close(
        torch.func.jacrev(torch.func.jacrev(kernel))(x),
        torch.func.jacrev(torch.func.jacrev(plain))(x),
    )
