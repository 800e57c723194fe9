"""The Poincare ball against 50-digit references, identities, and awkward inputs."""

import math

import geoopt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pml_hyperbolic.functional import (
    lorentz_lift,
    poincare_cdist,
    poincare_distance,
    to_poincare_ball,
)
from tests.references import poincare as reference

CURVATURES = [1e-4, 0.1, 1.0, 10.0]
CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
)
DEVICES = ["cpu", CUDA]
HALVES = [torch.float16, torch.bfloat16]
ROW_WISE_BOUND = {torch.float32: 1e-5, torch.float64: 1e-12}
ALL_PAIRS_BOUND = {torch.float32: 2e-3, torch.float64: 1e-10}


def ball_points(n, dim, *, c, radius, seed=0, dtype=torch.float64):
    """Random directions, norms uniform up to ``radius / sqrt(c)``."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    lengths = radius / math.sqrt(c) * torch.rand(n, 1, generator=generator, dtype=torch.float64)
    return (x / x.norm(dim=1, keepdim=True) * lengths).to(dtype)


def pairs_at_gap(gap, radius, dim, *, c, dtype, n=4, seed=0):
    """Pairs on the sphere ``sqrt(c)|x| = radius`` whose last coordinates alone differ, by a gap.

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


def relative_error(measured, exact):
    return float(((measured.double() - exact).abs() / exact).max())


@pytest.mark.parametrize("dtype", ROW_WISE_BOUND, ids=str)
@pytest.mark.parametrize("c", CURVATURES)
def test_row_wise_distance_is_accurate_at_every_distance(dtype, c, check_accuracy):
    worst = 0.0
    for radius in (0.01, 0.3, 0.63, 0.9, 0.99):
        for gap in (1e-8, 1e-6, 1e-4, 1e-2, 0.3, 0.98):
            for dim in (2, 64):
                if gap >= radius:
                    continue
                x, y = pairs_at_gap(gap, 0.999999 * radius, dim, c=c, dtype=dtype)
                exact = reference.distances(x, y, c)
                worst = max(worst, relative_error(poincare_distance(x, y, c=c), exact))
                # Opposite ends of the ball: the largest distance at this radius.
                exact = reference.distances(x, -x, c)
                worst = max(worst, relative_error(poincare_distance(x, -x, c=c), exact))
    check_accuracy(f"poincare_distance {dtype}", worst, ROW_WISE_BOUND[dtype])


@pytest.mark.parametrize("dtype", ALL_PAIRS_BOUND, ids=str)
@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("dim", [2, 16, 128])
def test_all_pairs_distance_is_accurate_where_one_gram_matrix_can_be(dtype, c, dim, check_accuracy):
    # The diagonal holds the worst case: the closest pairs of the bound at its largest radius.
    x, y = (p.to(dtype) for p in close_pairs(6, dim, c=c))
    x = torch.cat([x, ball_points(4, dim, c=c, radius=0.629, dtype=dtype)])
    y = torch.cat([y, ball_points(4, dim, c=c, radius=0.629, seed=1, dtype=dtype)])
    exact = reference.distance_matrix(x, y, c)
    measured = exact * math.sqrt(c) >= 0.03
    assert measured.diagonal()[:6].all()
    worst = relative_error(poincare_cdist(x, y, c=c)[measured], exact[measured])
    check_accuracy(f"poincare_cdist {dtype} D={dim}", worst, ALL_PAIRS_BOUND[dtype])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ALL_PAIRS_BOUND, ids=str)
@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("dim", [3, 128, 1024])
def test_all_pairs_distance_agrees_with_row_wise_on_many_close_pairs(
    dtype, c, dim, device, check_accuracy
):
    # Row-wise in float64 is within 1e-12 (test above), so it can judge many pairs.
    x, y = (p.to(device, dtype) for p in close_pairs(1500, dim, c=c))
    exact = poincare_distance(x.double(), y.double(), c=c)
    measured = exact * math.sqrt(c) >= 0.03
    assert measured.float().mean() > 0.99
    worst = relative_error(poincare_cdist(x, y, c=c).diagonal()[measured], exact[measured])
    row = f"poincare_cdist {dtype} D={dim} close pairs, {device}"
    check_accuracy(row, worst, ALL_PAIRS_BOUND[dtype])


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("clip_radius", [None, 0.5])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_ball_map_matches_the_reference(c, clip_radius, dtype, bound):
    v = torch.randn(12, 5, dtype=torch.float64) / math.sqrt(c)
    v = (v * torch.logspace(-6, 0, 12, dtype=torch.float64).unsqueeze(1)).to(dtype)
    v = v / math.sqrt(2)
    points = to_poincare_ball(v, c=c, clip_radius=clip_radius)
    for row, point in zip(v, points, strict=True):
        exact = torch.tensor(
            [float(p) for p in reference.expmap0(row, c, clip_radius)], dtype=torch.float64
        )
        assert (point.double() - exact).norm() <= bound * exact.norm()


@pytest.mark.parametrize("c", CURVATURES)
def test_distance_from_the_origin_is_twice_the_tangent_norm(c):
    v = torch.randn(20, 6, dtype=torch.float64) / math.sqrt(6 * c)
    points = to_poincare_ball(v, c=c)
    depth = poincare_distance(points, torch.zeros(6, dtype=torch.float64), c=c)
    torch.testing.assert_close(depth, 2 * v.norm(dim=1), rtol=1e-12, atol=0)


def test_clipping_bounds_every_distance_by_four_radii():
    v = 50 * torch.randn(40, 3, dtype=torch.float64)
    points = to_poincare_ball(torch.cat([v, -v]), c=0.1, clip_radius=2.3)
    distances = poincare_cdist(points, points, c=0.1)
    assert float(distances.max()) <= 4 * 2.3 * (1 + 1e-12)
    assert float(distances.max()) >= 4 * 2.3 * (1 - 1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4, 1e10, 1e20, 1e30])
@pytest.mark.parametrize("clip_radius", [None, 2.3, 1e6])
@pytest.mark.parametrize("c", CURVATURES)
def test_no_tangent_vector_leaves_the_ball(dtype, scale, clip_radius, c):
    if scale > torch.finfo(dtype).max / 8:
        scale = torch.finfo(dtype).max / 8
    direction = torch.nn.functional.normalize(torch.randn(30, 7, dtype=torch.float64))
    v = (direction * scale).to(dtype).requires_grad_()
    points = to_poincare_ball(v, c=c, clip_radius=clip_radius)
    radius = math.sqrt(c) * points.detach().double().norm(dim=1)
    assert (radius < 1).all()
    # Nor does a long vector end up anywhere but far out.
    reach = math.tanh(math.sqrt(c) * min(scale, clip_radius or math.inf))
    assert (radius >= min(reach, 1) * 0.99 - 1e-6).all()
    distances = poincare_cdist(points, points, c=c)
    assert torch.isfinite(distances).all()
    distances.sum().backward()
    assert torch.isfinite(v.grad).all()


@pytest.mark.parametrize("dim", [2, 128, 4096])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saturated_points_stay_inside_as_every_formula_sees_them(dim, dtype):
    v = (1e3 * torch.randn(50, dim, dtype=torch.float64)).to(dtype)
    points = to_poincare_ball(v, c=1.0)
    assert (points.square().sum(1) < 1).all()
    assert torch.isfinite(poincare_distance(points, -points, c=1.0)).all()
    assert torch.isfinite(poincare_cdist(points, -points, c=1.0)).all()
    assert torch.isfinite(lorentz_lift(points, c=1.0)).all()


@pytest.mark.parametrize("refine", [False, True])
def test_unrefined_and_refined_gradients_are_finite_for_repeated_and_zero_rows(refine):
    x = ball_points(6, 4, c=0.1, radius=0.6, dtype=torch.float32)
    x = torch.cat([x, x, torch.zeros(3, 4)]).requires_grad_()
    poincare_cdist(x, x, c=0.1, refine=refine).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_refined_all_pairs_distance_is_accurate_at_every_distance(check_accuracy):
    # Stricter than the bound asked for: what poincare_cdist says of itself.
    worst = 0.0
    for radius in (0.01, 0.3, 0.63):
        for gap in (1e-7, 1e-6, 1e-4, 1e-2, 0.29):
            if gap < radius:
                x, y = pairs_at_gap(gap, 0.999999 * radius, 64, c=0.1, dtype=torch.float32)
                exact = reference.distance_matrix(x, y, 0.1)
                worst = max(worst, relative_error(poincare_cdist(x, y, c=0.1), exact))
    check_accuracy("poincare_cdist torch.float32 at every distance", worst, 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("refine", [False, True])
def test_diagonal_is_exactly_zero_for_the_same_tensor(dtype, c, refine):
    x = ball_points(50, 33, c=c, radius=0.99, dtype=dtype).requires_grad_()
    distances = poincare_cdist(x, x, c=c, refine=refine)
    assert (distances.diagonal() == 0).all()
    distances.diagonal().sum().backward()
    assert (x.grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES])
@pytest.mark.parametrize("function", [poincare_distance, poincare_cdist])
def test_coincident_points_have_zero_distance_and_zero_gradient(function, dtype):
    x = torch.tensor([[0.5, -0.25, 0.125], [0, 0, 0], [1.5, 0, 0]], dtype=dtype)
    x, y = x.clone().requires_grad_(), x.clone().requires_grad_()
    distances = function(x, y, c=0.1)
    coincident = distances if distances.ndim == 1 else distances.diagonal()
    assert (coincident == 0).all()
    coincident.sum().backward()
    assert (x.grad == 0).all()
    assert (y.grad == 0).all()


@pytest.mark.parametrize("riemannian_gradient", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_of_the_ball_map_at_zero_is_the_identity(riemannian_gradient, dtype):
    v = torch.zeros(3, 4, dtype=dtype, requires_grad=True)
    wanted = torch.arange(12, dtype=dtype).reshape(3, 4)
    points = to_poincare_ball(v, c=0.1, clip_radius=2.3, riemannian_gradient=riemannian_gradient)
    (points * wanted).sum().backward()
    assert (points == 0).all()
    torch.testing.assert_close(v.grad, wanted / 4 if riemannian_gradient else wanted)


@pytest.mark.parametrize("size", [1e-45, 1e-30, 1e-22, 1e-18])
def test_tiny_vectors_map_to_themselves_with_a_finite_gradient(size):
    v = torch.full((2, 3), size, requires_grad=True)
    points = to_poincare_ball(v, c=0.1, clip_radius=2.3)
    points.sum().backward()
    assert (points.detach() - v.detach()).abs().max() <= 1e-5 * size + 2e-45
    torch.testing.assert_close(v.grad, torch.ones_like(v))


def test_riemannian_gradient_is_the_plain_gradient_in_the_inverse_metric():
    v = torch.randn(10, 4, dtype=torch.float64)
    weights = torch.randn(10, 4, dtype=torch.float64)

    def upstream(riemannian_gradient):
        leaf = v.clone().requires_grad_()
        points = to_poincare_ball(
            leaf, c=0.5, clip_radius=1.0, riemannian_gradient=riemannian_gradient
        )
        (points * weights).sum().backward()
        return points.detach(), leaf.grad

    points, plain = upstream(False)
    same_points, scaled = upstream(True)
    assert torch.equal(points, same_points)
    factor = (1 - 0.5 * points.square().sum(1, keepdim=True)) ** 2 / 4
    torch.testing.assert_close(scaled, factor * plain, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [*HALVES, torch.float32])
@pytest.mark.parametrize("autocast", [False, True])
def test_gradients_are_finite_at_awkward_points(device, dtype, autocast):
    r = 2.3
    rows = [[0, 0, 0], [0, 0, 0], [r, 0, 0], [r, 0, 0], [-r, 0, 0], [1e-6, 0, 0], [60, 60, 60]]
    v = torch.tensor(rows, device=device).to(dtype).requires_grad_()
    with torch.autocast(device_type=device, dtype=torch.bfloat16, enabled=autocast):
        points = to_poincare_ball(v, c=0.1, clip_radius=r, riemannian_gradient=True)
        distances = poincare_cdist(points, points, c=0.1)
        rows = poincare_distance(points, points.roll(1, 0), c=0.1)
    assert points.dtype == distances.dtype == rows.dtype == torch.float32
    (distances.sum() + rows.sum()).backward()
    assert torch.isfinite(distances).all()
    assert torch.isfinite(rows).all()
    assert torch.isfinite(v.grad).all()


@pytest.mark.parametrize("device", DEVICES)
def test_autocast_does_not_change_the_distances(device):
    x = ball_points(9, 16, c=0.1, radius=0.6, dtype=torch.float32).to(device).requires_grad_()
    y = ball_points(7, 16, c=0.1, radius=0.6, seed=1, dtype=torch.float32).to(device)

    def values_and_gradient(enabled):
        with torch.autocast(device_type=device, dtype=torch.bfloat16, enabled=enabled):
            distances = poincare_cdist(x, y, c=0.1)
            (grad,) = torch.autograd.grad(distances.square().sum(), x)
        return distances, grad

    outside, inside = values_and_gradient(False), values_and_gradient(True)
    assert torch.equal(outside[0], inside[0])
    assert torch.equal(outside[1], inside[1])


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_computed_in_float32(dtype):
    x = ball_points(6, 8, c=0.1, radius=0.6).to(dtype)
    y = ball_points(5, 8, c=0.1, radius=0.6, seed=1).to(dtype)
    assert torch.equal(poincare_cdist(x, y, c=0.1), poincare_cdist(x.float(), y.float(), c=0.1))
    assert torch.equal(
        poincare_distance(x[:5], y, c=0.1), poincare_distance(x[:5].float(), y.float(), c=0.1)
    )
    assert torch.equal(to_poincare_ball(x, c=0.1), to_poincare_ball(x.float(), c=0.1))


@st.composite
def points_and_curvature(draw, count):
    """``count`` points of one random ball, spread from the origin to near the boundary."""
    seed = draw(st.integers(0, 2**31))
    dim = draw(st.integers(1, 20))
    c = 10 ** draw(st.floats(-4, 1))
    radius = draw(st.floats(1e-3, 0.95))
    return ball_points(count, dim, c=c, radius=radius, seed=seed), c


@given(points_and_curvature(3))
def test_distance_obeys_the_triangle_inequality(case):
    (x, y, z), c = case
    xy, yz, xz = (poincare_distance(p, q, c=c) for p, q in ((x, y), (y, z), (x, z)))
    assert float(xz) <= float(xy + yz) * (1 + 1e-12)


@given(points_and_curvature(8))
def test_all_pairs_distance_obeys_the_triangle_inequality(case):
    x, c = case
    d = poincare_cdist(x, x, c=c)
    detour = (d.unsqueeze(2) + d.unsqueeze(0)).amin(1)
    assert float((d - detour).max()) * math.sqrt(c) <= 1e-7


@given(points_and_curvature(8))
def test_distance_is_symmetric(case):
    x, c = case
    y = x.flip(0)
    assert torch.equal(poincare_distance(x, y, c=c), poincare_distance(y, x, c=c))
    forth, back = poincare_cdist(x[:5], x[5:], c=c), poincare_cdist(x[5:], x[:5], c=c)
    torch.testing.assert_close(forth, back.T, rtol=1e-9, atol=1e-7 / math.sqrt(c))


@given(points_and_curvature(8))
def test_distance_is_invariant_under_rotation(case):
    x, c = case
    dim = x.shape[1]
    generator = torch.Generator().manual_seed(dim)
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q
    turned = x @ rotation
    y, turned_y = x.flip(0), turned.flip(0)
    tolerance = {"rtol": 1e-9, "atol": 1e-7 / math.sqrt(c)}
    torch.testing.assert_close(
        poincare_distance(turned, turned_y, c=c), poincare_distance(x, y, c=c), **tolerance
    )
    torch.testing.assert_close(
        poincare_cdist(turned, turned, c=c), poincare_cdist(x, x, c=c), **tolerance
    )


@given(points_and_curvature(8))
def test_distance_agrees_with_geoopt(case):
    x, c = case
    ball = geoopt.PoincareBall(c=torch.tensor(c, dtype=torch.float64))
    theirs = ball.dist(x[:4], x[4:])
    torch.testing.assert_close(poincare_distance(x[:4], x[4:], c=c), theirs, rtol=1e-6, atol=0)
    all_theirs = ball.dist(x[:4].unsqueeze(1), x[4:])
    torch.testing.assert_close(
        poincare_cdist(x[:4], x[4:], c=c), all_theirs, rtol=1e-6, atol=1e-7 / math.sqrt(c)
    )


@given(points_and_curvature(6))
def test_lift_turns_distance_into_an_inner_product(case):
    x, c = case
    lifted = lorentz_lift(x, c=c)
    assert lifted.dtype == torch.float64
    assert lifted.shape == (6, x.shape[1] + 1)
    time, space = lifted[:, :1], lifted[:, 1:]
    torch.testing.assert_close(
        time**2 - space.square().sum(1, keepdim=True), torch.ones_like(time), rtol=0, atol=1e-9
    )
    cosh = time @ time.T - space @ space.T
    expected = torch.cosh(math.sqrt(c) * poincare_distance(x.unsqueeze(1), x, c=c))
    torch.testing.assert_close(cosh, expected, rtol=1e-11, atol=1e-11 * float(time.max()) ** 2)


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


@pytest.mark.parametrize("clip_radius", [None, 0.7])
def test_ball_map_passes_gradcheck_twice(clip_radius):
    v = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)

    def mapped(v):
        return to_poincare_ball(v, c=0.5, clip_radius=clip_radius)

    assert torch.autograd.gradcheck(mapped, (v,))
    assert torch.autograd.gradgradcheck(mapped, (v,))


def test_row_wise_distance_passes_gradcheck_twice():
    x = ball_points(4, 3, c=0.5, radius=0.8).requires_grad_()
    y = ball_points(4, 3, c=0.5, radius=0.8, seed=1).requires_grad_()

    def distances(x, y):
        return poincare_distance(x, y, c=0.5)

    assert torch.autograd.gradcheck(distances, (x, y))
    assert torch.autograd.gradgradcheck(distances, (x, y))


def test_functions_work_under_torch_func():
    x = ball_points(6, 3, c=0.1, radius=0.8)
    y = ball_points(4, 3, c=0.1, radius=0.8, seed=1)

    def total(x):
        points = to_poincare_ball(x, c=0.1, clip_radius=2.3, riemannian_gradient=True)
        return poincare_cdist(points, y, c=0.1).square().sum()

    leaf = x.clone().requires_grad_()
    total(leaf).backward()
    torch.testing.assert_close(torch.func.grad(total)(x), leaf.grad)

    batches = torch.stack([x, x.flip(0), x / 2])
    for function in (
        lambda x: poincare_cdist(x, y, c=0.1),
        lambda x: poincare_cdist(x, x, c=0.1),
        lambda x: to_poincare_ball(x, c=0.1, riemannian_gradient=True),
        lambda x: poincare_distance(x[:4], y, c=0.1),
    ):
        torch.testing.assert_close(
            torch.func.vmap(function)(batches), torch.stack([function(b) for b in batches])
        )
    per_batch = torch.func.vmap(torch.func.grad(total))(batches)
    torch.testing.assert_close(per_batch, torch.stack([torch.func.grad(total)(b) for b in batches]))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (1, 5), (5, 1), (1, 1)])
def test_all_pairs_distance_of_few_points(shape):
    n, m = shape
    x = ball_points(n, 4, c=0.1, radius=0.6).requires_grad_()
    y = ball_points(m, 4, c=0.1, radius=0.6, seed=1).requires_grad_()
    distances = poincare_cdist(x, y, c=0.1)
    assert distances.shape == shape
    distances.sum().backward()
    assert x.grad.shape == x.shape
    assert y.grad.shape == y.shape
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("function", [poincare_cdist, poincare_distance])
def test_non_contiguous_inputs_give_the_same_values_and_gradients(function):
    wide = ball_points(8, 12, c=0.1, radius=0.6)
    results = []
    for contiguous in (False, True):
        leaf = wide.clone().requires_grad_()
        x, y = leaf[:, ::2], leaf.T[::2].T.flip(0)
        if contiguous:
            x, y = x.contiguous(), y.contiguous()
        else:
            assert not x.is_contiguous()
        distances = function(x, y, c=0.1)
        distances.square().sum().backward()
        results.append((distances.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("one_side", [0, 1])
@pytest.mark.parametrize("function", [poincare_cdist, poincare_distance])
def test_gradient_on_one_side_equals_that_of_both_sides(function, one_side):
    points = ball_points(6, 4, c=0.1, radius=0.6), ball_points(6, 4, c=0.1, radius=0.6, seed=1)
    both = [p.clone().requires_grad_() for p in points]
    function(*both, c=0.1).square().sum().backward()
    single = [p.clone().requires_grad_(side == one_side) for side, p in enumerate(points)]
    function(*single, c=0.1).square().sum().backward()
    torch.testing.assert_close(single[one_side].grad, both[one_side].grad)
    assert single[1 - one_side].grad is None


@pytest.mark.parametrize(("n", "m"), [(300, 2000), (2000, 300), (800, 800)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_large_matrices_agree_with_row_wise_distances_and_gradients(n, m, dtype, tolerance):
    x = ball_points(n, 3, c=0.1, radius=0.6).requires_grad_()
    y = ball_points(m, 3, c=0.1, radius=0.6, seed=1).requires_grad_()
    weights = torch.randn(n, m, dtype=torch.float64)
    exact = poincare_distance(x.unsqueeze(1), y, c=0.1)
    exact_gradients = torch.autograd.grad((exact * weights).sum(), (x, y))
    ours = [p.detach().to(dtype).requires_grad_() for p in (x, y)]
    distances = poincare_cdist(*ours, c=0.1)
    gradients = torch.autograd.grad((distances * weights.to(dtype)).sum(), ours)
    assert relative_error(distances.detach(), exact.detach()) <= tolerance
    for gradient, expected in zip(gradients, exact_gradients, strict=True):
        assert float((gradient.double() - expected).norm() / expected.norm()) <= tolerance


@pytest.mark.parametrize("refine", [False, True])
def test_large_matrix_of_one_tensor_has_a_zero_diagonal_and_the_right_gradient(refine):
    x = ball_points(800, 3, c=0.1, radius=0.6).requires_grad_()
    weights = torch.randn(800, 800, dtype=torch.float64).fill_diagonal_(0)
    distances = poincare_cdist(x, x, c=0.1, refine=refine)
    assert (distances.diagonal() == 0).all()
    (gradient,) = torch.autograd.grad((distances * weights).sum(), x)
    apart = ~torch.eye(800, dtype=torch.bool)
    exact = poincare_distance(x.unsqueeze(1), x, c=0.1)
    (expected,) = torch.autograd.grad((exact * weights)[apart].sum(), x)
    assert float((gradient - expected).norm() / expected.norm()) <= 1e-9


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


def test_row_wise_distance_broadcasts():
    x = ball_points(6, 4, c=0.1, radius=0.6)
    y = ball_points(5, 4, c=0.1, radius=0.6, seed=1)
    broadcast = poincare_distance(x.unsqueeze(1), y, c=0.1)
    assert broadcast.shape == (6, 5)
    torch.testing.assert_close(broadcast, poincare_cdist(x, y, c=0.1), rtol=1e-9, atol=1e-9)


def test_a_vanishing_curvature_is_flat_space():
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    distances = poincare_cdist(x, y, c=1e-10)
    torch.testing.assert_close(distances, 2 * torch.cdist(x, y), rtol=1e-5, atol=0)


@pytest.mark.parametrize("c", [0, -0.1, math.nan, math.inf, "0.1", None])
@pytest.mark.parametrize("function", [poincare_cdist, poincare_distance])
def test_a_bad_curvature_is_refused_with_its_value(function, c):
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=f"c must be .*{c!r}"):
        function(x, x, c=c)
    with pytest.raises(ValueError, match=f"c must be .*{c!r}"):
        to_poincare_ball(x, c=c)
    with pytest.raises(ValueError, match=f"c must be .*{c!r}"):
        lorentz_lift(x, c=c)


@pytest.mark.parametrize("clip_radius", [0, -1.0, math.nan, math.inf])
def test_a_bad_clip_radius_is_refused_with_its_value(clip_radius):
    with pytest.raises(ValueError, match=f"clip_radius must be .*{clip_radius!r}"):
        to_poincare_ball(torch.zeros(2, 3), c=0.1, clip_radius=clip_radius)


@pytest.mark.parametrize("shapes", [((3, 4), (3, 5)), ((4,), (3, 4)), ((2, 3, 4), (3, 4))])
def test_wrong_shapes_are_refused_with_both_shapes(shapes):
    x, y = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match="poincare_cdist") as error:
        poincare_cdist(x, y, c=0.1)
    assert str(shapes[0]) in str(error.value)
    assert str(shapes[1]) in str(error.value)


def test_lift_refuses_anything_but_a_matrix():
    with pytest.raises(ValueError, match=r"\(4,\)"):
        lorentz_lift(torch.zeros(4), c=0.1)


def test_ball_points_and_distances_match_the_recorded_ones(golden):
    c, r = golden["c"], golden["clip_radius"]
    x = to_poincare_ball(golden["embeddings"], c=c, clip_radius=r)
    p = to_poincare_ball(golden["proxies"], c=c, clip_radius=r)
    torch.testing.assert_close(x, golden["ball_embeddings"], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(p, golden["ball_proxies"], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(
        poincare_cdist(x, p, c=c), golden["dist_data_proxy"], rtol=1e-3, atol=0
    )


def test_published_embeddings_lie_on_the_clip_radius(hier_cars):
    published, _ = torch.load(hier_cars / "cars_examples_train.pt", weights_only=True)
    norms = published.norm(dim=1)
    torch.testing.assert_close(
        norms,
        torch.full_like(norms, math.tanh(math.sqrt(0.1) * 2.3) / math.sqrt(0.1)),
        rtol=1e-4,
        atol=0,
    )
    back = torch.nn.functional.normalize(published[:50]) * 5  # beyond the radius: clipped again
    again = to_poincare_ball(back, c=0.1, clip_radius=2.3)
    torch.testing.assert_close(again, published[:50], rtol=1e-4, atol=1e-5)
