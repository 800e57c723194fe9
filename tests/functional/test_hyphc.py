"""HypHC and the depth of lowest common ancestors against slow references."""

import math

import mpmath
import pytest
import torch

from pml_hyperbolic.functional import (
    hyphc_loss,
    lca_depth,
    poincare_distance,
    to_poincare_ball,
)
from pml_hyperbolic.functional.hyphc import hyphc_loss_of_corners, hyphc_loss_of_tangents
from tests.dispatch import Dispatched
from tests.references import hyphc
from tests.references import lca_depth as numeric
from tests.waiting import Waits, fake_gpu


def gap(measured, expected):
    """Norm of the difference relative to the norm of what is expected."""
    return float((measured - expected).norm() / expected.norm())


def random_ball_pair(seed, dim, c, radius=0.95):
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(2, dim, generator=generator, dtype=torch.float64)
    lengths = radius * torch.rand(2, 1, generator=generator, dtype=torch.float64) / math.sqrt(c)
    return v / v.norm(dim=1, keepdim=True) * lengths


AWKWARD_PAIRS = {
    "same direction, the foot outside": ([0.3, 0.0], [0.7, 0.0]),
    "nearly the same direction": ([0.3, 1e-7], [0.7, -1e-7]),
    "foot just outside": ([0.3, 0.3], [0.7, 0.71]),
    "opposite sides": ([0.3, 0.0], [-0.6, 0.0]),
    "nearly opposite": ([0.3, 1e-6], [-0.6, 1e-6]),
    "right angle": ([0.5, 0.0], [0.0, 0.5]),
    "close together near the boundary": ([0.9899, 0.0], [0.9899, 1e-3]),
    "the same point": ([0.4, 0.2], [0.4, 0.2]),
    "the origin": ([0.0, 0.0], [0.4, 0.2]),
    "one far, one near": ([0.98, 0.0], [0.0, 0.001]),
}


@pytest.mark.parametrize("pair", AWKWARD_PAIRS.values(), ids=AWKWARD_PAIRS)
@pytest.mark.parametrize("c", [0.1, 1.0])
def test_ancestor_depth_of_awkward_pairs_is_the_least_depth_on_their_geodesic(pair, c):
    x, y = (torch.tensor(p, dtype=torch.float64) / math.sqrt(c) for p in pair)
    exact = float(numeric.lca_depth(x, y, c))
    assert float(lca_depth(x, y, c=c)) == pytest.approx(exact, rel=1e-9, abs=1e-15)
    assert float(lca_depth(y, x, c=c)) == pytest.approx(exact, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("c", [1e-4, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("dim", [2, 5])
def test_ancestor_depth_is_the_least_depth_on_the_geodesic(c, dim):
    for seed in range(6):
        x, y = random_ball_pair(seed, dim, c)
        exact = float(numeric.lca_depth(x, y, c))
        assert float(lca_depth(x, y, c=c)) == pytest.approx(exact, rel=1e-9)
        assert float(hyphc.lca_depth(x, y, c)) == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-6])
def test_ancestor_depth_of_close_pairs_at_the_boundary(gap):
    angles = torch.tensor([[0.3], [0.3 + gap]], dtype=torch.float64)
    x, y = (1 - 1e-7) * torch.cat([angles.cos(), angles.sin()], dim=1)
    exact = float(numeric.lca_depth(x, y, 1.0))
    assert float(lca_depth(x, y, c=1.0)) == pytest.approx(exact, rel=1e-9)


def test_ancestor_depth_gradient_is_that_of_the_numeric_depth():
    c, step = 0.5, mpmath.mpf(10) ** -7
    for seed in range(3):
        points = random_ball_pair(seed, 2, c, radius=0.8).requires_grad_()
        lca_depth(points[0], points[1], c=c).backward()
        for which in range(2):
            for axis in range(2):
                moved = []
                for sign in (1, -1):
                    pair = [[mpmath.mpf(v) for v in row] for row in points.tolist()]
                    pair[which][axis] += sign * step
                    moved.append(numeric.lca_depth(*pair, c))
                slope = float((moved[0] - moved[1]) / (2 * step))
                assert float(points.grad[which, axis]) == pytest.approx(slope, rel=1e-8, abs=1e-9)


def test_ancestor_depth_broadcasts_and_is_at_most_either_points_depth():
    x = to_poincare_ball(torch.randn(7, 1, 4, dtype=torch.float64), c=0.3)
    y = to_poincare_ball(torch.randn(5, 4, dtype=torch.float64), c=0.3)
    depth = lca_depth(x, y, c=0.3)
    assert depth.shape == (7, 5)
    origin = torch.zeros(4, dtype=torch.float64)
    of_x, of_y = poincare_distance(x, origin, c=0.3), poincare_distance(y, origin, c=0.3)
    assert (depth >= 0).all()
    assert (depth <= torch.minimum(of_x, of_y) * (1 + 1e-12)).all()


def test_ancestor_depth_passes_gradcheck_twice():
    x = to_poincare_ball(torch.randn(8, 3, dtype=torch.float64), c=0.5).requires_grad_()
    y = to_poincare_ball(torch.randn(8, 3, dtype=torch.float64), c=0.5).requires_grad_()

    def depth(x, y):
        return lca_depth(x, y, c=0.5)

    assert torch.autograd.gradcheck(depth, (x, y))
    assert torch.autograd.gradgradcheck(depth, (x, y))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("pair", AWKWARD_PAIRS.values(), ids=AWKWARD_PAIRS)
def test_ancestor_depth_has_finite_gradients_at_awkward_pairs(pair, dtype):
    x, y = (torch.tensor([p]).to(dtype).requires_grad_() for p in pair)
    depth = lca_depth(x, y, c=0.9)
    depth.sum().backward()
    assert depth.dtype == torch.promote_types(dtype, torch.float32)
    assert torch.isfinite(depth).all()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(y.grad).all()


def test_ancestor_depth_refuses_a_bad_curvature():
    with pytest.raises(ValueError, match="-1"):
        lca_depth(torch.zeros(2), torch.zeros(2), c=-1)


def hyphc_case(seed, c=0.3, n=10, triplets=40):
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    points = to_poincare_ball(v, c=c, clip_radius=2.0)
    similarity = torch.rand(n, n, generator=generator, dtype=torch.float64)
    similarity = (similarity + similarity.T) / 2
    drawn = torch.stack([torch.randperm(n, generator=generator)[:3] for _ in range(triplets)], 1)
    return points, similarity, drawn


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_hyphc_agrees_with_the_loop_reference(seed, temperature):
    points, similarity, triplets = hyphc_case(seed)
    ours, theirs = points.clone().requires_grad_(), points.clone().requires_grad_()
    settings = {"c": 0.3, "temperature": temperature}
    loss = hyphc_loss(ours, lambda i, j: similarity[i, j], triplets, **settings)
    expected = hyphc.hyphc_loss(theirs, similarity, triplets, **settings)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    loss.backward()
    expected.backward()
    assert gap(ours.grad, theirs.grad) <= 1e-9


def test_hyphc_agrees_with_numerically_found_ancestors():
    points, similarity, triplets = hyphc_case(0, triplets=4)

    def depth(x, y, c):
        return torch.tensor(float(numeric.lca_depth(x, y, c)), dtype=torch.float64)

    settings = {"c": 0.3, "temperature": 0.05}
    loss = hyphc_loss(points, lambda i, j: similarity[i, j], triplets, **settings)
    expected = hyphc.hyphc_loss(points, similarity, triplets, **settings, depth=depth)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)


def test_hyphc_prefers_a_deep_ancestor_for_the_similar_pair():
    # Two clusters on opposite sides: similarities that agree with them cost less.
    points = torch.tensor([[0.8, 0.1], [0.8, -0.1], [-0.8, 0.0]], dtype=torch.float64)
    triplets = torch.tensor([[0], [1], [2]])
    agree = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.float64)
    differ = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]], dtype=torch.float64)
    costs = [
        float(hyphc_loss(points, lambda i, j, w=w: w[i, j], triplets, c=1.0, temperature=0.05))
        for w in (agree, differ)
    ]
    assert costs[0] < 1e-6
    assert costs[1] > 0.99


def test_hyphc_without_triplets_is_a_zero_that_backpropagates():
    points = torch.rand(2, 3, requires_grad=True)
    none = torch.empty(3, 0, dtype=torch.long)
    loss = hyphc_loss(points, lambda i, j: i * 1.0, none, c=0.1, temperature=0.05)
    loss.backward()
    assert loss.item() == 0
    assert (points.grad == 0).all()


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_hyphc_is_finite_in_low_precision(dtype, autocast):
    points, similarity, triplets = hyphc_case(0)
    points = points.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = hyphc_loss(
            points, lambda i, j: similarity[i, j].float(), triplets, c=0.3, temperature=0.05
        )
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(points.grad).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"points": torch.rand(4)}, r"\(4,\)"),
        ({"triplets": torch.zeros(2, 5, dtype=torch.long)}, r"\(2, 5\)"),
        ({"c": 0}, "c must be .*0"),
        ({"temperature": -1.0}, "temperature .*-1.0"),
        # They would be multiplied with the softmax in another shape.
        ({"similarity": lambda i, j: torch.ones(1)}, r"5 triplets.*\(3, 1\)"),
        ({"similarity": lambda i, j: torch.ones(len(i), 1)}, r"\(3, 5, 1\).*similarity\(i, j\)"),
    ],
)
def test_bad_input_to_hyphc_is_refused_with_what_was_given(change, named):
    arguments = {
        "points": torch.rand(4, 2),
        "similarity": lambda i, j: torch.ones(len(i)),
        "triplets": torch.zeros(3, 5, dtype=torch.long),
        "c": 0.1,
        "temperature": 0.05,
        **change,
    }
    positional = [arguments.pop(name) for name in ("points", "similarity", "triplets")]
    with pytest.raises(ValueError, match=named):
        hyphc_loss(*positional, **arguments)


def test_hyphc_never_asks_for_all_pairs():
    points = (0.1 * torch.randn(3000, 4)).requires_grad_()
    triplets = torch.randint(3000, (3, 500))

    def similarity(i, j):
        assert i.shape == j.shape == (500,)
        return torch.ones(500)

    with Dispatched() as done:
        hyphc_loss(points, similarity, triplets, c=0.1, temperature=0.05).backward()
    assert done.largest <= points.numel()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("c", "clip_radius"), [(1.0, 2.3), (0.1, None)])
def test_hyphc_of_half_tangents_is_that_of_their_float32_values(dtype, c, clip_radius):
    corners = torch.randn(30, 3, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    settings = {"c": c, "clip_radius": clip_radius, "temperature": 0.05}
    half = hyphc_loss_of_tangents(corners, None, **settings)
    assert torch.equal(half, hyphc_loss_of_tangents(corners.float(), None, **settings))


@pytest.mark.parametrize("clip_radius", [None, 1.0])
def test_hyphc_of_tangents_is_that_of_their_points(clip_radius):
    generator = torch.Generator().manual_seed(0)
    corners = torch.randn(50, 3, 5, generator=generator, dtype=torch.float64)
    tangents, weights = corners.clone().requires_grad_(), torch.rand(3, 50, generator=generator)
    settings = {"c": 0.5, "temperature": 0.05}
    one = hyphc_loss_of_tangents(tangents, weights, clip_radius=clip_radius, **settings)
    mapped = corners.clone().requires_grad_()
    points = to_poincare_ball(mapped, c=0.5, clip_radius=clip_radius)
    two = hyphc_loss_of_corners(points, weights, **settings)
    torch.testing.assert_close(one, two)
    one.backward()
    two.backward()
    torch.testing.assert_close(tangents.grad, mapped.grad)


def losses_of_points_and_tangents(device="cpu"):
    corners = (0.3 * torch.randn(30, 3, 8, device=device)).requires_grad_()
    settings = {"c": 0.5, "temperature": 0.05}
    triplets = torch.zeros(3, 50, dtype=torch.long, device=device)
    return [
        hyphc_loss_of_tangents(corners, None, clip_radius=1.0, **settings),
        hyphc_loss(corners[:, 0], lambda i, j: torch.ones_like(i) / 2, triplets, **settings),
        lca_depth(corners[:, 0], corners[:, 1], c=0.5).sum(),
    ]


def test_a_forward_pass_does_not_wait_for_a_gpu():
    # Fake tensors have a device and a shape but no values: to need one raises.
    with fake_gpu(), Waits() as waits:
        losses = losses_of_points_and_tangents("cuda")
    assert {loss.device.type for loss in losses} == {"cuda"}
    assert waits.found == []


def test_neither_pass_reads_values():
    with Waits() as waits:
        for loss in losses_of_points_and_tangents():
            loss.backward()
    assert waits.found == []


def test_no_matrix_product_is_taken_that_a_setting_could_round():
    corners = (0.3 * torch.randn(30, 3, 8)).requires_grad_()
    with Dispatched() as done:
        loss = hyphc_loss_of_tangents(corners, None, c=0.5, clip_radius=1.0, temperature=0.05)
        (gradient,) = torch.autograd.grad(loss, corners, create_graph=True)
        gradient.square().sum().backward()
    assert not {name for name in done.names if "mm" in name or "matmul" in name}


@pytest.mark.parametrize("clip_radius", [None, 1.0])
def test_hyphc_of_tangents_passes_gradcheck_twice(clip_radius):
    corners = torch.randn(4, 3, 2, dtype=torch.float64).requires_grad_()
    weights = torch.rand(3, 4, dtype=torch.float64)

    def loss(corners):
        return hyphc_loss_of_tangents(
            corners, weights, c=0.5, clip_radius=clip_radius, temperature=0.5
        )

    assert torch.autograd.gradcheck(loss, (corners,))
    assert torch.autograd.gradgradcheck(loss, (corners,))


@pytest.mark.parametrize("create_graph", [False, True])
def test_both_gradients_of_corner_products_are_the_same(create_graph):
    corners = torch.randn(5, 3, 4, dtype=torch.float64).requires_grad_()
    loss = hyphc_loss_of_tangents(corners, None, c=0.5, clip_radius=1.0, temperature=0.5)
    (gradient,) = torch.autograd.grad(loss, corners, create_graph=create_graph)
    under_func = torch.func.grad(hyphc_loss_of_tangents)(
        corners.detach(), None, c=0.5, clip_radius=1.0, temperature=0.5
    )
    torch.testing.assert_close(gradient, under_func, rtol=1e-12, atol=1e-14)
