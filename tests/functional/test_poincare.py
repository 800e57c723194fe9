"""The Poincare ball: 50-digit references, identities, awkward inputs, and full precision."""

import math
import threading

import geoopt
import pytest
import torch
from hypothesis import given

from pml_hyperbolic.functional import (
    lorentz_lift,
    poincare_cdist,
    poincare_distance,
    to_poincare_ball,
)
from pml_hyperbolic.functional.poincare import full_precision
from tests.devices import DEVICES
from tests.functional.points import (
    CURVATURES,
    ball_points,
    pairs_at_gap,
    points_and_curvature,
    relative_error,
)
from tests.product_precision import ProductPrecisions, matmul_precisions
from tests.references import poincare as reference

HALVES = [torch.float16, torch.bfloat16]
ROW_WISE_BOUND = {torch.float32: 1e-5, torch.float64: 1e-12}


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
    # A long vector ends up far out.
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


@pytest.mark.parametrize("function", [poincare_distance, poincare_cdist])
def test_beyond_the_boundary_there_is_no_distance(function):
    outside = torch.tensor([[0.0, 4.0]])
    for x in ([3.0, 0.0], [0.5, 0.0]):
        assert function(torch.tensor([x]), outside, c=0.2).isnan().all()


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


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_computed_in_float32(dtype):
    x = ball_points(6, 8, c=0.1, radius=0.6).to(dtype)
    y = ball_points(5, 8, c=0.1, radius=0.6, seed=1).to(dtype)
    assert torch.equal(poincare_cdist(x, y, c=0.1), poincare_cdist(x.float(), y.float(), c=0.1))
    assert torch.equal(
        poincare_distance(x[:5], y, c=0.1), poincare_distance(x[:5].float(), y.float(), c=0.1)
    )
    assert torch.equal(to_poincare_ball(x, c=0.1), to_poincare_ball(x.float(), c=0.1))


@given(points_and_curvature(3))
def test_distance_obeys_the_triangle_inequality(case):
    (x, y, z), c = case
    xy, yz, xz = (poincare_distance(p, q, c=c) for p, q in ((x, y), (y, z), (x, z)))
    assert float(xz) <= float(xy + yz) * (1 + 1e-12)


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


def test_row_wise_distance_broadcasts():
    x = ball_points(6, 4, c=0.1, radius=0.6)
    y = ball_points(5, 4, c=0.1, radius=0.6, seed=1)
    broadcast = poincare_distance(x.unsqueeze(1), y, c=0.1)
    assert broadcast.shape == (6, 5)
    torch.testing.assert_close(broadcast, poincare_cdist(x, y, c=0.1), rtol=1e-9, atol=1e-9)


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


@pytest.mark.usefixtures("reduced_precision")
def test_full_precision_holds_inside_alone():
    x, set_before = torch.ones(2, 2), matmul_precisions()
    with full_precision(x), ProductPrecisions() as products:
        with full_precision(x):
            x @ x
        x @ x  # still inside the outer context
    assert products.all_full
    assert matmul_precisions() == set_before
    with ProductPrecisions() as products:
        x @ x
    assert not products.all_full


@pytest.mark.usefixtures("reduced_precision")
def test_full_precision_is_left_by_exceptions():
    set_before = matmul_precisions()
    with pytest.raises(ZeroDivisionError), full_precision(torch.ones(1)):
        raise ZeroDivisionError
    assert matmul_precisions() == set_before


@pytest.mark.usefixtures("reduced_precision")
def test_full_precision_lasts_until_the_last_thread_has_left():
    x, set_before = torch.ones(2, 2), matmul_precisions()
    has_entered, may_leave = threading.Event(), threading.Event()

    def stay():
        with full_precision(x):
            has_entered.set()
            may_leave.wait(timeout=60)

    other = threading.Thread(target=stay)
    other.start()
    has_entered.wait(timeout=60)
    with full_precision(x):
        pass
    with ProductPrecisions() as products:
        x @ x
    may_leave.set()
    other.join()
    assert products.all_full
    assert matmul_precisions() == set_before
