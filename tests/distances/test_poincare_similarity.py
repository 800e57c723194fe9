"""PoincareSimilarity: cosine's range, the unbounded form, and arguments that are refused."""

import math

import pytest
import torch

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.functional import to_poincare_ball


def tangents(n=30, dim=5, dtype=torch.float64):
    return 2 * torch.randn(n, dim, dtype=dtype)


@pytest.mark.parametrize("clip_radius", [0.7, 2.3])
@pytest.mark.parametrize("c", [0.1, 1.0])
def test_bounded_similarity_is_linear_in_the_distance(c, clip_radius):
    x, y = tangents(), tangents()
    d = PoincareDistance(c=c, clip_radius=clip_radius)(x, y)
    similarity = PoincareSimilarity(c=c, clip_radius=clip_radius)(x, y)
    torch.testing.assert_close(similarity, 1 - 2 * d / (4 * clip_radius), rtol=0, atol=1e-12)


def test_unbounded_similarity_is_the_negative_distance():
    x = tangents()
    assert torch.equal(PoincareSimilarity(bounded=False)(x), -PoincareDistance()(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("clip_radius", [0.1, 2.3, 7.0])
def test_bounded_similarity_never_leaves_cosines_range(dtype, clip_radius):
    x = 100 * torch.nn.functional.normalize(torch.randn(200, 3, dtype=torch.float64))
    x = torch.cat([x, -x]).to(dtype)
    similarity = PoincareSimilarity(c=0.1, clip_radius=clip_radius)(x)
    assert similarity.min() >= -1
    assert similarity.max() <= 1
    assert similarity.min() < -0.99
    assert (similarity.diagonal() == 1).all()


def test_similarity_is_inverted_as_pml_understands_it():
    similarity = PoincareSimilarity()
    assert similarity.is_inverted
    assert isinstance(similarity, PoincareDistance)
    values = torch.tensor([0.2, 0.9])
    assert similarity.smallest_dist(values) == values[1]
    assert similarity.margin(torch.tensor(0.9), torch.tensor(0.2)) < 0


@pytest.mark.parametrize(("norm", "moves"), [(1.0, True), (2.0, False)])
def test_opposite_points_have_a_finite_gradient_at_and_within_the_bound(norm, moves):
    # Beyond the clip radius they sit exactly at -1, and moving either changes nothing.
    x = torch.tensor([[norm, 0.0], [-norm, 0.0]], dtype=torch.float64, requires_grad=True)
    PoincareSimilarity(clip_radius=1.5)(x)[0, 1].backward()
    assert torch.isfinite(x.grad).all()
    assert (float(x.grad.abs().sum()) > 0.1) == moves


def test_ball_inputs_use_the_clip_radius_as_bound_alone():
    v = tangents() / 4
    points = to_poincare_ball(v, c=0.1)
    from_ball = PoincareSimilarity(inputs="ball", clip_radius=10.0)(points)
    from_tangent = PoincareSimilarity(clip_radius=10.0)(v)
    torch.testing.assert_close(from_ball, from_tangent, rtol=0, atol=1e-7)


@pytest.mark.parametrize("inputs", ["tangent", "ball"])
def test_a_bound_needs_a_clip_radius(inputs):
    with pytest.raises(ValueError, match=r"clip_radius.*bounded=False"):
        PoincareSimilarity(clip_radius=None, inputs=inputs)
    similarity = PoincareSimilarity(clip_radius=None, inputs=inputs, bounded=False)
    assert float(similarity(torch.zeros(2, 3)).abs().sum()) == 0


@pytest.mark.parametrize("power", [0.5, 1.5])
def test_a_power_that_negative_similarities_lack_is_refused(power):
    with pytest.raises(ValueError, match=f"whole power.*{power}"):
        PoincareSimilarity(power=power)


def test_scales_of_cosine_losses_carry_over():
    # The farthest pair is -1 and a coincident one 1, exactly as for cosine.
    x = torch.tensor([[50.0, 0.0], [-50.0, 0.0]], dtype=torch.float64)
    expected = torch.nn.functional.cosine_similarity(x.unsqueeze(1), x, dim=-1)
    assert math.isclose(float(PoincareSimilarity()(x)[0, 1]), -1, abs_tol=1e-12)
    torch.testing.assert_close(PoincareSimilarity()(x), expected, rtol=0, atol=1e-12)
