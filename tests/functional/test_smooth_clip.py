"""The smooth clip, r tanh(|v| / r): values and slopes at 50 digits, limits and promises."""

import math

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pml_hyperbolic.functional import poincare_cdist, tangent_cdist, to_poincare_ball
from pml_hyperbolic.functional.poincare import ball_scale, clipped_norm, saturation_norm
from tests.functional.points import CURVATURES
from tests.references import poincare as reference

HALVES = [torch.float16, torch.bfloat16]


def spread(clip_radius, count=12, dim=5):
    """Tangent vectors of norms from a millionth of the clip radius to thirty times it."""
    v = torch.randn(count, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lengths = torch.logspace(-6, math.log10(30), count, dtype=torch.float64).unsqueeze(1)
    return v / v.norm(dim=1, keepdim=True) * lengths * clip_radius


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("reach", [0.1, 0.73, 3.0])  # sqrt(c) r
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_points_match_the_reference(c, reach, dtype, bound):
    r = reach / math.sqrt(c)
    v = spread(r).to(dtype)
    points = to_poincare_ball(v, c=c, clip_radius=r, clip="smooth")
    for row, point in zip(v, points, strict=True):
        exact = torch.tensor(
            [float(p) for p in reference.expmap0(row, c, r, "smooth")], dtype=torch.float64
        )
        assert (point.double() - exact).norm() <= bound * exact.norm()


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 2e-6), (torch.float64, 1e-9)])
def test_distances_match_the_reference(c, dtype, rtol):
    r = 0.73 / math.sqrt(c)
    x, y = spread(r)[4:].to(dtype), spread(r).flip(1)[5:].to(dtype)
    mapped = [[reference.expmap0(v, c, r, "smooth") for v in side] for side in (x, y)]
    exact = reference.distance_matrix(*mapped, c)
    found = tangent_cdist(x, y, c=c, clip_radius=r, clip="smooth")
    torch.testing.assert_close(found.double(), exact, rtol=rtol, atol=rtol * 1e-3 * r)


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("relative_norm", [1e-8, 1e-3, 0.3, 1.0, 2.6, 5.0, 15.0])
def test_scale_slope_and_sinh_match_the_reference(c, relative_norm):
    r = 0.73 / math.sqrt(c)
    norm = torch.tensor([relative_norm * r], dtype=torch.float64)
    root, radius, length = (mpmath.mpf(v) for v in (math.sqrt(c), r, float(norm)))

    def scale(n):
        return mpmath.tanh(root * radius * mpmath.tanh(n / radius)) / (root * n)

    s, radial, slope, sinh_square = ball_scale(
        norm, c=c, clip_radius=r, clip="smooth", dtype=torch.float64
    )
    assert float(s) == pytest.approx(float(scale(length)), rel=1e-14)
    # Where it all but cancels, only its size relative to s matters to a gradient.
    expected = float(length * mpmath.diff(scale, length, h=mpmath.mpf(10) ** -15 * length))
    assert float(slope) == pytest.approx(expected, rel=1e-12, abs=1e-14 * float(s))
    growth = mpmath.diff(lambda n: scale(n) * n, length, h=mpmath.mpf(10) ** -15 * length)
    assert float(radial) == pytest.approx(float(growth), rel=1e-12)
    point = scale(length) * length
    wanted = root**2 * point**2 / (1 - root**2 * point**2)
    assert float(sinh_square) == pytest.approx(float(wanted), rel=1e-12)


def test_the_radial_gradient_never_dies_and_the_tangential_one_is_the_hard_clips():
    r = 2.3
    for relative_norm in (0.5, 1.5, 3.0, 6.0):
        v = torch.tensor([[relative_norm * r, 0.0]], dtype=torch.float64, requires_grad=True)
        gradients = {}
        for clip in ("hard", "smooth"):
            points = to_poincare_ball(v, c=0.1, clip_radius=r, clip=clip)
            gradients[clip] = [torch.autograd.grad(p, v, retain_graph=True)[0] for p in points[0]]
        along, across = gradients["smooth"]
        assert float(along[0, 0]) > 0
        assert float(along[0, 1]) == 0
        assert 0 < float(across[0, 1]) <= float(gradients["hard"][1][0, 1])
        assert (float(gradients["hard"][0][0, 0]) > 1e-12) == (relative_norm < 1)


@given(
    st.floats(-4, 1).map(lambda p: 10**p),
    st.floats(0.01, 3),
    st.integers(1, 20),
    st.integers(0, 2**31),
)
def test_it_keeps_order_and_direction_and_less_length_than_the_hard_clip(c, reach, dim, seed):
    r = reach / math.sqrt(c)
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(9, dim, generator=generator, dtype=torch.float64)
    norms = torch.sort(4 * r * torch.rand(9, generator=generator, dtype=torch.float64)).values
    v = v / v.norm(dim=1, keepdim=True) * norms.unsqueeze(1)
    smooth, hard = (to_poincare_ball(v, c=c, clip_radius=r, clip=k) for k in ("smooth", "hard"))
    lengths = smooth.norm(dim=1)
    assert (lengths <= hard.norm(dim=1) * (1 + 1e-12)).all()
    assert (lengths.diff() >= -1e-12 * r).all()
    assert (c * lengths.square() < 1).all()
    torch.testing.assert_close(
        torch.nn.functional.normalize(smooth), torch.nn.functional.normalize(v)
    )
    far = torch.cat([smooth, -smooth])
    assert float(poincare_cdist(far, far, c=c).max()) <= 4 * r * (1 + 1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e4, 1e30])
@pytest.mark.parametrize("clip_radius", [2.3, 1e6])
def test_any_vector_stays_inside_with_finite_gradients(dtype, scale, clip_radius):
    scale = min(scale, torch.finfo(dtype).max / 8)
    direction = torch.nn.functional.normalize(torch.randn(20, 7, dtype=torch.float64))
    v = (direction * scale).to(dtype).requires_grad_()
    options = {"c": 0.1, "clip_radius": clip_radius, "clip": "smooth"}
    points = to_poincare_ball(v, **options)
    assert points.dtype == torch.promote_types(dtype, torch.float32)
    assert (0.1 * points.detach().double().square().sum(1) < 1).all()
    distances = tangent_cdist(v, v, **options)
    (points.sum() + distances.sum()).backward()
    assert torch.isfinite(distances).all()
    assert torch.isfinite(v.grad).all()
    if scale <= 1e-20:
        torch.testing.assert_close(points.detach(), v.detach().to(points.dtype), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_computed_in_float32(dtype):
    v = spread(2.3).to(dtype)
    options = {"c": 0.1, "clip_radius": 2.3, "clip": "smooth"}
    assert torch.equal(to_poincare_ball(v, **options), to_poincare_ball(v.float(), **options))
    assert torch.equal(
        tangent_cdist(v, v, **options), tangent_cdist(v.float(), v.float(), **options)
    )


def test_the_map_passes_gradcheck_twice_and_works_under_torch_func():
    v = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)

    def mapped(v):
        return to_poincare_ball(v, c=0.5, clip_radius=0.7, clip="smooth")

    assert torch.autograd.gradcheck(mapped, (v,))
    assert torch.autograd.gradgradcheck(mapped, (v,))
    jacobian = torch.func.jacrev(mapped)(v.detach())
    torch.testing.assert_close(jacobian, torch.autograd.functional.jacobian(mapped, v.detach()))
    batches = torch.stack([v.detach(), v.detach() / 2])
    torch.testing.assert_close(
        torch.func.vmap(mapped)(batches), torch.stack([mapped(batch) for batch in batches])
    )


def test_a_wide_radius_is_no_clip():
    x = torch.randn(8, 4, dtype=torch.float64)
    smooth = tangent_cdist(x, x, c=0.1, clip_radius=1e6, clip="smooth")
    torch.testing.assert_close(smooth, tangent_cdist(x, x, c=0.1))


def test_norms_after_the_clip_and_where_it_saturates():
    norms = torch.tensor([0.0, 1.0, 2.3, 6.0872, 6.0874, 50.0], dtype=torch.float64)
    smooth = clipped_norm(norms, clip_radius=2.3, clip="smooth")
    torch.testing.assert_close(smooth, 2.3 * torch.tanh(norms / 2.3))
    assert ((smooth >= 0.99 * 2.3) == (norms >= saturation_norm(2.3, "smooth"))).all()
    assert (smooth >= 0.99 * 2.3).tolist() == [False, False, False, False, True, True]
    hard = clipped_norm(norms, clip_radius=2.3, clip="hard")
    assert hard.tolist() == [0.0, 1.0, 2.3, 2.3, 2.3, 2.3]
    assert saturation_norm(2.3, "hard") == 2.3
    assert torch.equal(clipped_norm(norms, clip_radius=None, clip="hard"), norms)


@pytest.mark.parametrize("function", [to_poincare_ball, lambda v, **o: tangent_cdist(v, v, **o)])
def test_a_smooth_clip_needs_a_radius_and_a_clip_a_known_name(function):
    v = torch.zeros(2, 3)
    with pytest.raises(ValueError, match='clip="smooth" needs a clip_radius'):
        function(v, c=0.1, clip="smooth")
    for bad in ("soft", None, True):
        with pytest.raises(ValueError, match=f'clip must be "hard" or "smooth", got {bad!r}'):
            function(v, c=0.1, clip_radius=2.3, clip=bad)
