"""All-pairs distances against broadcast row-wise ones, over shapes, layouts, dtypes and sides."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pml_hyperbolic.functional import (
    poincare_cdist,
    poincare_distance,
    tangent_cdist,
    to_poincare_ball,
)
from pml_hyperbolic.functional.pairwise import plain_poincare_cdist
from tests.devices import DEVICES
from tests.dispatch import READS, Dispatched
from tests.functional.kinds import (
    CLIP_RADIUS,
    KINDS,
    C,
    broadcast_distances,
    fast,
    mapping_of,
    mapping_options,
    to_ball,
    vectors,
)
from tests.functional.points import (
    ALL_PAIRS_BOUND,
    CURVATURES,
    ball_points,
    close_pairs,
    norm_error,
    points_and_curvature,
    relative_error,
)
from tests.product_precision import ProductPrecisions, matmul_precisions
from tests.references import poincare as reference
from tests.waiting import fake_gpu

TOLERANCES = [(torch.float64, 1e-9), (torch.float32, 1e-5)]
SIDES = [(True, False), (False, True), (True, True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES, ids=str)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(2, 30)),
    st.sampled_from(SIDES),
    st.tuples(st.booleans(), st.booleans()),
    st.integers(0, 2**31),
)
def test_agrees_with_broadcast(kind, dtype, tolerance, shape, wants, columns, seed):
    n, m, d = shape
    generator = torch.Generator().manual_seed(seed)
    x, y = (
        vectors(rows, d, kind, generator, column).to(dtype).requires_grad_(want)
        for rows, column, want in zip((n, m), columns, wants, strict=True)
    )
    upstream = torch.randn(n, m, generator=generator, dtype=torch.float64)
    distances = fast(kind, x, y)
    exact_x, exact_y = (v.detach().double().requires_grad_(v.requires_grad) for v in (x, y))
    exact = broadcast_distances(exact_x, exact_y, mapping_of(kind))
    assert distances.dtype == dtype
    assert norm_error(distances.detach(), exact.detach()) <= tolerance
    distances.backward(upstream.to(dtype))
    exact.backward(upstream)
    for leaf, exact_leaf in ((x, exact_x), (y, exact_y)):
        if leaf.requires_grad:
            assert norm_error(leaf.grad, exact_leaf.grad) <= tolerance
        else:
            assert leaf.grad is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (1, 1)])
def test_few_rows(kind, shape):
    x, y = (torch.full((n, 4), 0.1, requires_grad=True) for n in shape)
    distances = fast(kind, x, y)
    assert distances.shape == shape
    distances.sum().backward()
    assert (x.grad == 0).all()
    assert (y.grad == 0).all()


SCALES = (1e-30, 1e-8, 1e-4, 1.0, 10.0, 1e4)


@pytest.mark.parametrize(
    ("scale", "clip_radius", "clip"),
    # Without a clip radius, points far out differ by how their coordinates are rounded.
    [(s, r, "hard") for r in (None, 1.0) for s in SCALES if r or s <= 1]
    + [(s, 1.0, "smooth") for s in SCALES],
)
def test_one_step_equals_two_at_any_norm(scale, clip_radius, clip):
    x = (scale * torch.randn(7, 3, dtype=torch.float64)).requires_grad_()
    y = (0.5 * torch.randn(5, 3, dtype=torch.float64)).requires_grad_()
    upstream = torch.randn(7, 5, dtype=torch.float64)

    def two_steps(x, y):
        options = {"c": C, "clip_radius": clip_radius, "clip": clip}
        return poincare_cdist(*(to_poincare_ball(v, **options) for v in (x, y)), c=C)

    one = tangent_cdist(x, y, c=C, clip_radius=clip_radius, clip=clip)
    two = two_steps(x, y)
    torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(
        torch.autograd.grad(one, (x, y), upstream),
        torch.autograd.grad(two, (x, y), upstream),
        strict=True,
    ):
        # Points held at the clip radius or the boundary have no gradient along the radius.
        assert norm_error(ours, theirs) <= 1e-8


def test_beyond_the_boundary_everything_is_finite():
    x = (1e4 * torch.randn(7, 3)).requires_grad_()
    distances = tangent_cdist(x, -x.detach(), c=C)
    distances.sum().backward()
    assert torch.isfinite(distances).all()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("clip", ["hard", "smooth"])
def test_vectors_whose_squares_overflow_are_clipped(clip):
    far = torch.tensor([[3e30, 4e30], [0.6, 0.8]])
    near = torch.tensor([[0.3, -0.2]])
    far[1] *= 1 if clip == "hard" else 30
    overflowing, plain = tangent_cdist(far, near, c=C, clip_radius=1.0, clip=clip)
    torch.testing.assert_close(overflowing, plain)


def test_one_tensor_has_a_zero_diagonal_and_both_gradients():
    x = torch.randn(30, 6, dtype=torch.float64, requires_grad=True)
    distances = tangent_cdist(x, x, c=C, clip_radius=CLIP_RADIUS)
    assert (distances.diagonal() == 0).all()
    weights = torch.randn(30, 30, dtype=torch.float64)
    (distances * weights).sum().backward()
    two = x.detach().requires_grad_()
    (poincare_cdist(to_ball(two), to_ball(two), c=C) * weights.fill_diagonal_(0)).sum().backward()
    torch.testing.assert_close(x.grad, two.grad)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("close", [False, True])
def test_no_tensor_of_pairs_times_dimensions(kind, close):
    n, m, d = 300, 200, 150
    generator = torch.Generator().manual_seed(0)
    x, y = (vectors(rows, d, kind, generator, False).requires_grad_() for rows in (n, m))
    if close:
        # Every pair is refined.
        x, y = ((0.9 * x[:1] + 1e-3 * v).detach().requires_grad_() for v in (x, y))
    with Dispatched() as done:
        fast(kind, x, y).sum().backward()
    pieces = 2 * 2**18
    assert done.largest <= max(n * m, n * (d + 2), pieces)
    assert pieces < n * m * d


@pytest.mark.parametrize(
    ("x", "y", "arguments", "word"),
    [
        ((3, 4), (3, 5), {}, "one D"),
        ((4,), (3, 4), {}, "(4,)"),
        ((3, 4), (3, 4), {"c": 0}, "c must be"),
        ((3, 4), (3, 4), {"clip_radius": -1}, "clip_radius"),
        ((3, 4), (3, 4), {"clip": "smooth"}, 'clip="smooth" needs a clip_radius'),
        ((3, 4), (3, 4), {"clip": "soft"}, 'clip must be "hard" or "smooth", got \'soft\''),
    ],
)
def test_bad_input(x, y, arguments, word):
    with pytest.raises(ValueError, match=r".") as caught:
        tangent_cdist(torch.zeros(x), torch.zeros(y), **{"c": 0.1, **arguments})
    assert word in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_compiles_to_one_graph_without_changing_values(kind):
    def traced(graph, inputs):
        graphs.append(graph)
        return graph.forward

    graphs = []
    generator = torch.Generator().manual_seed(0)
    x, y = (vectors(n, 6, kind, generator, False).float().requires_grad_() for n in (9, 7))
    weights = torch.randn(9, 7, generator=generator)
    # Without refinement: a compiler cannot look at the distances to choose pairs.
    plain = poincare_cdist if kind == "ball" else tangent_cdist
    options = {"c": C, "refine": False} | ({} if kind == "ball" else mapping_options(kind))
    eager = plain(x, y, **options)
    expected = torch.autograd.grad(eager, (x, y), weights)
    compiled = torch.compile(fast, backend=traced, fullgraph=True)(kind, x, y)
    torch.testing.assert_close(compiled, eager)
    found = torch.autograd.grad(compiled, (x, y), weights)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert len(graphs) == 1


@pytest.mark.parametrize("clip", ["hard", "smooth"])
@pytest.mark.parametrize("norm", [1e8, 1e14, 1e18, 1e20, 1e30])
def test_gradients_of_clipped_vectors_of_any_norm(norm, clip):
    x = torch.tensor([[0.6 * norm, 0.8 * norm]], requires_grad=True)
    y = torch.tensor([[1.0, 0.0]])
    options = {"c": 0.1, "clip_radius": 2.3, "clip": clip}
    tangent_cdist(x, y, **options).sum().backward()
    exact = x.detach().double().requires_grad_()
    mapped = [to_poincare_ball(v, **options) for v in (exact, y.double())]
    poincare_distance(*mapped, c=0.1).sum().backward()
    # Beyond 1e19 the gradient itself, below 1e-19, may vanish.
    allowed = 1e-6 if norm <= 1e18 else 2
    gap = (x.grad.double() - exact.grad).abs().max() * norm
    assert float(gap) <= allowed


@pytest.mark.parametrize("dim", [33, 128, 512])
def test_equal_vectors_in_different_layouts_are_at_distance_zero(dim):
    x = 2 * torch.randn(64, dim, generator=torch.Generator().manual_seed(0)) / dim**0.5
    y = x.T.contiguous().T
    assert (tangent_cdist(x, y, c=1.0, clip_radius=2.3).diagonal() == 0).all()


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("refine", [False, True])
def test_diagonal_is_exactly_zero_for_the_same_tensor(dtype, c, refine):
    x = ball_points(50, 33, c=c, radius=0.99, dtype=dtype).requires_grad_()
    distances = poincare_cdist(x, x, c=c, refine=refine)
    assert (distances.diagonal() == 0).all()
    distances.diagonal().sum().backward()
    assert (x.grad == 0).all()


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


@given(points_and_curvature(8))
def test_all_pairs_distance_obeys_the_triangle_inequality(case):
    x, c = case
    d = poincare_cdist(x, x, c=c)
    detour = (d.unsqueeze(2) + d.unsqueeze(0)).amin(1)
    assert float((d - detour).max()) * math.sqrt(c) <= 1e-7


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


def test_a_vanishing_curvature_is_flat_space():
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    distances = poincare_cdist(x, y, c=1e-10)
    torch.testing.assert_close(distances, 2 * torch.cdist(x, y), rtol=1e-5, atol=0)


@pytest.mark.parametrize("shapes", [((3, 4), (3, 5)), ((4,), (3, 4)), ((2, 3, 4), (3, 4))])
def test_wrong_shapes_are_refused_with_both_shapes(shapes):
    x, y = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match="poincare_cdist") as error:
        poincare_cdist(x, y, c=0.1)
    assert str(shapes[0]) in str(error.value)
    assert str(shapes[1]) in str(error.value)


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("gap", [None, 1e-4, 1e-2])
def test_plain_formula_matches_the_reference(c, gap):
    x = ball_points(5, 4, c=c, radius=0.9)
    y = ball_points(4, 4, c=c, radius=0.9, seed=1) if gap is None else x[:4] * (1 + gap)
    exact = reference.distance_matrix(x, y, c)
    torch.testing.assert_close(plain_poincare_cdist(x, y, c=c), exact, rtol=1e-6, atol=0)
    assert (plain_poincare_cdist(x, x, c=c).diagonal() == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(5, 7), (7, 5)])
def test_distances_lie_in_memory_row_by_row(kind, shape):
    x, y = (torch.full((n, 3), 0.1) for n in shape)
    assert fast(kind, x, y).is_contiguous()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (0, 4), (5, None)])
def test_a_forward_pass_on_an_accelerator_waits_for_nothing(kind, shape):
    n, m = shape
    with fake_gpu():
        x = torch.empty(n, 3, device="cuda", requires_grad=True)
        y = x if m is None else torch.empty(m, 3, device="cuda")
        distances = fast(kind, x, y)
    assert distances.device.type == "cuda"
    assert distances.shape == (n, n if m is None else m)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.usefixtures("as_on_accelerators")
def test_a_backward_pass_on_an_accelerator_waits_for_nothing(kind, create_graph):
    # Autograd refuses to run on fake tensors of a device that is absent.
    generator = torch.Generator().manual_seed(0)
    x, y = (vectors(n, 3, kind, generator, False).requires_grad_() for n in (8, 9))
    with Dispatched() as done:
        total = fast(kind, x, y).square().sum() + fast(kind, x, x).sum()
        gradients = torch.autograd.grad(total, (x, y), create_graph=create_graph)
        if create_graph:
            torch.autograd.grad(sum(g.square().sum() for g in gradients), (x, y))
    assert not done.names & READS
    assert done.names & {"aten::mm", "aten::addmm_"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("as_on_accelerators")
def test_the_computation_of_accelerators_agrees_with_broadcast(kind):
    generator = torch.Generator().manual_seed(0)
    x, y = (vectors(n, 30, kind, generator, False).float().requires_grad_() for n in (40, 50))
    upstream = torch.randn(40, 50, generator=generator, dtype=torch.float64)
    exact_x, exact_y = (v.detach().double().requires_grad_() for v in (x, y))
    exact = broadcast_distances(exact_x, exact_y, mapping_of(kind))
    expected = torch.autograd.grad(exact, (exact_x, exact_y), upstream)
    distances = fast(kind, x, y)
    assert norm_error(distances.detach(), exact.detach()) <= 1e-5
    for ours, theirs in zip(
        torch.autograd.grad(distances, (x, y), upstream.float()), expected, strict=True
    ):
        assert norm_error(ours, theirs) <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.usefixtures("reduced_precision")
def test_products_are_in_full_float32_whatever_is_set(kind, columns):
    generator = torch.Generator().manual_seed(0)
    x, y = (vectors(n, 6, kind, generator, columns).float().requires_grad_() for n in (9, 7))
    set_before = matmul_precisions()
    with ProductPrecisions() as forward:
        distances = fast(kind, x, y)
    with ProductPrecisions() as backward:
        distances.sum().backward()
    assert forward.all_full
    assert backward.all_full
    assert matmul_precisions() == set_before


@pytest.mark.parametrize("kind", KINDS)
def test_distances_of_a_tensor_to_itself_compile_to_one_graph(kind):
    x = vectors(9, 6, kind, torch.Generator().manual_seed(0), False).requires_grad_()

    def total(x):
        return fast(kind, x, x).square().sum()

    compiled = torch.compile(total, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), total(x))
    (ours,) = torch.autograd.grad(compiled(x), x)
    (expected,) = torch.autograd.grad(total(x), x)
    torch.testing.assert_close(ours, expected)
