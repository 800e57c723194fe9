"""All-pairs distances against broadcast row-wise ones, over shapes, layouts, dtypes and sides."""

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
from tests.dispatch import Dispatched

C, CLIP_RADIUS = 0.3, 1.0
TOLERANCES = [(torch.float64, 1e-9), (torch.float32, 1e-5)]
SIDES = [(True, False), (False, True), (True, True)]


def broadcast_distances(x, y, mapping):
    """The plain form: an (N, M, D) tensor of differences, in float64."""
    x, y = (mapping(v.double()) for v in (x, y))
    return poincare_distance(x.unsqueeze(1), y.unsqueeze(0), c=C)


def to_ball(v):
    return to_poincare_ball(v, c=C, clip_radius=CLIP_RADIUS)


def fast(kind, x, y):
    if kind == "tangent":
        return tangent_cdist(x, y, c=C, clip_radius=CLIP_RADIUS)
    return poincare_cdist(x, y, c=C)


def mapping_of(kind):
    return to_ball if kind == "tangent" else lambda v: v


def vectors(n, d, kind, generator, columns):
    """Rows on both sides of the clip radius, or ball points, some of them nearly equal."""
    v = torch.randn(n, d, generator=generator, dtype=torch.float64)
    v = v / v.norm(dim=1, keepdim=True)
    v = v * (0.05 + 2 * torch.rand(n, 1, generator=generator, dtype=torch.float64))
    if n > 2:
        v[1] = v[0] + 1e-3 * v[1]
    v = v if kind == "tangent" else to_poincare_ball(v, c=C)
    return v.T.contiguous().T if columns else v


def relative(a, b):
    return float((a.double() - b).norm() / b.norm().clamp(min=1e-300))


@pytest.mark.parametrize("kind", ["ball", "tangent"])
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
    assert relative(distances.detach(), exact.detach()) <= tolerance
    distances.backward(upstream.to(dtype))
    exact.backward(upstream)
    for leaf, reference in ((x, exact_x), (y, exact_y)):
        if leaf.requires_grad:
            assert relative(leaf.grad, reference.grad) <= tolerance
        else:
            assert leaf.grad is None


@pytest.mark.parametrize("kind", ["ball", "tangent"])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (1, 1)])
def test_few_rows(kind, shape):
    x, y = (torch.full((n, 4), 0.1, requires_grad=True) for n in shape)
    distances = fast(kind, x, y)
    assert distances.shape == shape
    distances.sum().backward()
    assert (x.grad == 0).all()
    assert (y.grad == 0).all()


@pytest.mark.parametrize(
    ("scale", "clip_radius"),
    # Without a clip radius, points far out differ by how their coordinates are rounded.
    [(s, r) for r in (None, 1.0) for s in (1e-30, 1e-8, 1e-4, 1.0, 10.0, 1e4) if r or s <= 1],
)
def test_one_step_equals_two_at_any_norm(scale, clip_radius):
    x = (scale * torch.randn(7, 3, dtype=torch.float64)).requires_grad_()
    y = (0.5 * torch.randn(5, 3, dtype=torch.float64)).requires_grad_()
    upstream = torch.randn(7, 5, dtype=torch.float64)

    def two_steps(x, y):
        mapped = [to_poincare_ball(v, c=C, clip_radius=clip_radius) for v in (x, y)]
        return poincare_cdist(*mapped, c=C)

    one = tangent_cdist(x, y, c=C, clip_radius=clip_radius)
    two = two_steps(x, y)
    torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(
        torch.autograd.grad(one, (x, y), upstream),
        torch.autograd.grad(two, (x, y), upstream),
        strict=True,
    ):
        # Points held at the clip radius or the boundary have no gradient along the radius.
        assert relative(ours, theirs) <= 1e-8


def test_beyond_the_boundary_everything_is_finite():
    x = (1e4 * torch.randn(7, 3)).requires_grad_()
    distances = tangent_cdist(x, -x.detach(), c=C)
    distances.sum().backward()
    assert torch.isfinite(distances).all()
    assert torch.isfinite(x.grad).all()


def test_vectors_whose_squares_overflow_are_clipped():
    far = torch.tensor([[3e30, 4e30], [0.6, 0.8]])
    near = torch.tensor([[0.3, -0.2]])
    overflowing, plain = tangent_cdist(far, near, c=C, clip_radius=1.0)
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
    assert relative(x.grad, exact_x.grad) <= 1e-5
    assert relative(y.grad, exact_y.grad) <= 1e-5


@pytest.mark.parametrize("clip_radius", [None, 0.7])
@pytest.mark.parametrize("with_itself", [False, True])
def test_gradcheck_twice(clip_radius, with_itself):
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    y = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)

    def distances(x, y=None):
        return tangent_cdist(x, x if y is None else y, c=0.5, clip_radius=clip_radius)

    inputs = (x,) if with_itself else (x, y)
    assert torch.autograd.gradcheck(distances, inputs)
    assert torch.autograd.gradgradcheck(distances, inputs)


def test_torch_func():
    x = torch.randn(3, 5, 4, dtype=torch.float64)
    y = torch.randn(6, 4, dtype=torch.float64)

    def total(x):
        return tangent_cdist(x, y, c=C, clip_radius=CLIP_RADIUS).square().sum()

    each = torch.stack([torch.func.grad(total)(batch) for batch in x])
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(total))(x), each)


@pytest.mark.parametrize("kind", ["ball", "tangent"])
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
    ],
)
def test_bad_input(x, y, arguments, word):
    with pytest.raises(ValueError, match=r".") as caught:
        tangent_cdist(torch.zeros(x), torch.zeros(y), **{"c": 0.1, **arguments})
    assert word in str(caught.value)


@pytest.mark.parametrize("kind", ["ball", "tangent"])
def test_compiles_to_one_graph_without_changing_values(kind):
    def traced(graph, inputs):
        graphs.append(graph)
        return graph.forward

    graphs = []
    generator = torch.Generator().manual_seed(0)
    x, y = (vectors(n, 6, kind, generator, False).float().requires_grad_() for n in (9, 7))
    weights = torch.randn(9, 7, generator=generator)
    # Without refinement: a compiler cannot look at the distances to choose pairs.
    plain = tangent_cdist if kind == "tangent" else poincare_cdist
    options = {"c": C, "refine": False} | (
        {"clip_radius": CLIP_RADIUS} if kind == "tangent" else {}
    )
    eager = plain(x, y, **options)
    expected = torch.autograd.grad(eager, (x, y), weights)
    compiled = torch.compile(fast, backend=traced, fullgraph=True)(kind, x, y)
    torch.testing.assert_close(compiled, eager)
    found = torch.autograd.grad(compiled, (x, y), weights)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert len(graphs) == 1


@pytest.mark.parametrize("kind", ["ball", "tangent"])
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


def test_differentiable_gradients_of_close_pairs_are_accurate_in_float32():
    generator = torch.Generator().manual_seed(0)
    x = to_poincare_ball(torch.randn(40, 64, generator=generator) / 8, c=C)
    y = x + 1e-4 * torch.randn(40, 64, generator=generator) / 8
    x, exact = x.requires_grad_(), x.detach().double().requires_grad_()
    (ours,) = torch.autograd.grad(poincare_cdist(x, y, c=C).diagonal().sum(), x, create_graph=True)
    (theirs,) = torch.autograd.grad(poincare_distance(exact, y.double(), c=C).sum(), exact)
    assert relative(ours.detach(), theirs) <= 1e-5


@pytest.mark.parametrize("norm", [1e8, 1e14, 1e18, 1e20, 1e30])
def test_gradients_of_clipped_vectors_of_any_norm(norm):
    x = torch.tensor([[0.6 * norm, 0.8 * norm]], requires_grad=True)
    y = torch.tensor([[1.0, 0.0]])
    tangent_cdist(x, y, c=0.1, clip_radius=2.3).sum().backward()
    exact = x.detach().double().requires_grad_()
    mapped = [to_poincare_ball(v, c=0.1, clip_radius=2.3) for v in (exact, y.double())]
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
