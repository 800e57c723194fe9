"""PoincareDistance: geometry, awkward batches, hooks, transforms, devices, refusals."""

import copy
import math

import pytest
import torch
from pytorch_metric_learning.distances import LpDistance

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.functional import poincare_cdist, to_poincare_ball
from tests.devices import DEVICES
from tests.dispatch import READS, Dispatched
from tests.product_precision import ProductPrecisions
from tests.references import poincare as reference
from tests.waiting import fake_gpu

CLASSES = [PoincareDistance, PoincareSimilarity]


def tangents(n=12, dim=6, dtype=torch.float64, seed=0):
    """Tangent vectors of norms 0 to 4.6: about half are beyond the default clip radius."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    lengths = torch.linspace(0, 4.6, n, dtype=torch.float64).unsqueeze(1)
    return (x / x.norm(dim=1, keepdim=True) * lengths).to(dtype)


@pytest.mark.parametrize("c", [1e-4, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("clip_radius", [2.3, 0.5, None])
def test_tangent_inputs_are_clipped_mapped_and_measured_on_the_ball(c, clip_radius):
    # Without a clip radius norms must stay where float64 resolves the ball.
    scale = 1 if clip_radius else 0.2 / math.sqrt(c)
    x, y = scale * tangents(5), scale * tangents(4, seed=1)
    distances = PoincareDistance(c=c, clip_radius=clip_radius)(x, y)
    mapped = [[reference.expmap0(v, c, clip_radius) for v in points] for points in (x, y)]
    exact = reference.distance_matrix(*mapped, c)
    torch.testing.assert_close(distances, exact, rtol=1e-9, atol=1e-7 / math.sqrt(c))


@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.parametrize("c", [1e-4, 0.1, 1.0])
def test_a_smooth_clip_is_applied_by_every_way_to_a_value(distance_class, c):
    x, y = tangents(5), tangents(5, seed=1)
    distance = distance_class(c=c, clip_radius=1.5, clip="smooth")
    mapped = [[reference.expmap0(v, c, 1.5, "smooth") for v in points] for points in (x, y)]
    exact = distance.from_geodesic(reference.distance_matrix(*mapped, c))
    tolerance = {"rtol": 1e-9, "atol": 1e-9 / math.sqrt(c)}
    torch.testing.assert_close(distance(x, y), exact, **tolerance)
    by_hooks = distance.compute_mat(distance.maybe_normalize(x), distance.maybe_normalize(y))
    torch.testing.assert_close(by_hooks, exact, **tolerance)
    torch.testing.assert_close(distance.pairwise_distance(x, y), exact.diagonal(), **tolerance)
    counting = distance_class(c=c, clip_radius=1.5, clip="smooth", collect_stats=True)
    torch.testing.assert_close(counting(x, y), exact, **tolerance)
    torch.testing.assert_close(copy.deepcopy(distance)(x, y), exact, **tolerance)


def test_smooth_saturation_is_within_a_hundredth_of_the_radius():
    distance = PoincareDistance(clip_radius=2.0, clip="smooth")
    assert distance.saturation_norm == pytest.approx(2 * math.atanh(0.99))
    v = torch.nn.functional.normalize(torch.randn(4, 8)) * torch.tensor([[1.0], [2], [5.2], [5.4]])
    assert float(distance.clip_saturation(v)) == 0.25
    assert float(PoincareDistance(clip_radius=2.0).clip_saturation(v * 1.001)) == 0.75
    torch.testing.assert_close(
        distance.clipped_norm(v.norm(dim=1)), 2 * torch.tanh(v.norm(dim=1) / 2)
    )
    assert PoincareDistance(clip_radius=None).saturation_norm is None
    assert PoincareDistance(inputs="ball").saturation_norm is None
    assert "clip='smooth'" in repr(distance)
    assert "clip=" not in repr(PoincareDistance())
    assert distance.initial_radius == 1.8


@pytest.mark.parametrize("distance_class", CLASSES)
def test_a_smooth_clip_is_refused_where_nothing_is_clipped(distance_class):
    options = {} if distance_class is PoincareDistance else {"bounded": False}
    with pytest.raises(ValueError, match='clip="smooth" needs a clip_radius'):
        distance_class(clip_radius=None, clip="smooth", **options)
    with pytest.raises(ValueError, match='inputs="tangent" for clip="smooth"'):
        distance_class(clip="smooth", inputs="ball")
    with pytest.raises(ValueError, match=r"clip must be .*got 'soft'"):
        distance_class(clip="soft")


def test_defaults_are_those_of_hyp_and_hier():
    distance = PoincareDistance()
    assert (distance.c, distance.clip_radius, distance.inputs) == (0.1, 2.3, "tangent")
    assert not distance.is_inverted
    assert not distance.normalize_embeddings
    assert type(distance.c) is float


def test_ball_inputs_are_taken_as_they_are():
    points = to_poincare_ball(tangents(), c=0.5)
    distances = PoincareDistance(c=0.5, inputs="ball")(points)
    assert torch.equal(distances, poincare_cdist(points, points, c=0.5))


@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_of_one_tensor_twice_is_forward_of_it(distance_class, dtype):
    x, distance = tangents(dtype=dtype), distance_class()
    once, twice = distance(x), distance(x, x)
    assert torch.equal(once, twice)
    assert (once.diagonal() == (1 if distance.is_inverted else 0)).all()


@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.float64, 1e-9)])
def test_pairwise_distance_of_raw_vectors_is_the_diagonal_of_forward(
    distance_class, power, dtype, tolerance
):
    distance = distance_class(power=power)
    x, y = tangents(dtype=dtype), tangents(seed=1, dtype=dtype)
    torch.testing.assert_close(
        distance.pairwise_distance(x, y), distance(x, y).diagonal(), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("distance_class", CLASSES)
def test_compute_mat_takes_mapped_points(distance_class):
    distance, x, y = distance_class(), tangents(), tangents(seed=1)
    mapped = [to_poincare_ball(v, c=0.1, clip_radius=2.3) for v in (x, y)]
    torch.testing.assert_close(distance.compute_mat(*mapped), distance(x, y))


def test_power_raises_the_distances():
    x = tangents()
    torch.testing.assert_close(PoincareDistance(power=2)(x), PoincareDistance()(x) ** 2)


@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (1, 5), (5, 1), (1, 1)])
def test_few_points_give_a_matrix_that_backpropagates(distance_class, shape):
    x, y = (tangents(n, seed=seed).requires_grad_() for seed, n in enumerate(shape))
    distances = distance_class()(x, y)
    assert distances.shape == shape
    distances.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(y.grad).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)
@pytest.mark.parametrize("autocast", [False, True])
def test_awkward_vectors_give_finite_values_and_gradients(distance_class, dtype, autocast, device):
    r = 2.3
    rows = [[0, 0, 0], [0, 0, 0], [r, 0, 0], [r, 0, 0], [-r, 0, 0], [1e-6, 0, 0], [60, 60, 60]]
    x = torch.tensor(rows, device=device).to(dtype).requires_grad_()
    y = x.detach().clone().requires_grad_()
    distance = distance_class()
    with torch.autocast(device_type=device, dtype=torch.bfloat16, enabled=autocast):
        values = [distance(x), distance(x, y), distance.pairwise_distance(x, y)]
    for value in values:
        assert value.dtype == torch.promote_types(dtype, torch.float32)
        assert torch.isfinite(value).all()
    sum(value.sum() for value in values).backward()
    assert x.grad.dtype == dtype
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(y.grad).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("distance_class", CLASSES)
def test_autocast_changes_no_bit(distance_class, device):
    x, y = (tangents(dtype=torch.float32, seed=seed).to(device) for seed in (0, 1))
    distance = distance_class()
    outside = distance(x, y), distance.pairwise_distance(x, y)
    with torch.autocast(device_type=device, dtype=torch.bfloat16):
        inside = distance(x, y), distance.pairwise_distance(x, y)
    assert torch.equal(outside[0], inside[0])
    assert torch.equal(outside[1], inside[1])


@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.parametrize(("clip_radius", "clip"), [(2.3, "hard"), (0.5, "hard"), (1.0, "smooth")])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("way", ["forward", "itself", "hooks", "rows", "statistics"])
def test_the_riemannian_gradient_is_the_plain_one_in_the_inverse_metric(
    distance_class, clip_radius, clip, dtype, tolerance, way
):
    x, y = tangents(9, dtype=dtype), tangents(9, seed=1, dtype=dtype)
    weights = torch.randn(9, 9, generator=torch.Generator().manual_seed(2)).to(dtype)

    def values_and_gradients(riemannian_gradient):
        distance = distance_class(
            c=0.5,
            clip_radius=clip_radius,
            clip=clip,
            riemannian_gradient=riemannian_gradient,
            collect_stats=way == "statistics",
        )
        leaves = [v.clone().requires_grad_() for v in (x, y)]
        if way == "itself":
            values = distance(leaves[0]) + distance(leaves[1])
        elif way == "hooks":
            values = distance.compute_mat(*(distance.maybe_normalize(v) for v in leaves))
        elif way == "rows":
            values = distance.pairwise_distance(*leaves)
        else:
            values = distance(*leaves)
        (values * weights[: len(values)]).sum().backward()
        return values.detach(), [leaf.grad for leaf in leaves]

    plain_values, plain = values_and_gradients(False)
    values, riemannian = values_and_gradients(True)
    assert torch.equal(values, plain_values)
    for v, ours, euclidean in zip((x, y), riemannian, plain, strict=True):
        points = to_poincare_ball(v, c=0.5, clip_radius=clip_radius, clip=clip)
        factor = (1 - 0.5 * points.square().sum(1, keepdim=True)) ** 2 / 4
        torch.testing.assert_close(ours, factor * euclidean, rtol=tolerance, atol=tolerance)
        assert float((factor * euclidean).norm()) > 0.01


@pytest.mark.parametrize("create_graph", [False, True])
def test_both_ways_to_the_riemannian_gradient_have_one_derivative(create_graph):
    x = tangents(6)[1:].requires_grad_()  # none of them exactly at the clip radius
    y = tangents(4, seed=1)[1:].requires_grad_()
    distance = PoincareDistance(riemannian_gradient=True)
    results = []
    for values in (distance(x, y), distance.compute_mat(distance.to_ball(x), distance.to_ball(y))):
        gradients = torch.autograd.grad(values.square().sum(), (x, y), create_graph=create_graph)
        if create_graph:
            gradients = torch.autograd.grad(sum(g.square().sum() for g in gradients), (x, y))
        results.append(gradients)
    torch.testing.assert_close(*results)


def test_the_riemannian_gradient_works_under_torch_func_and_compile():
    x, distance = tangents(6)[1:], PoincareDistance(riemannian_gradient=True)

    def total(x):
        return distance(x).square().sum()

    leaf = x.clone().requires_grad_()
    total(leaf).backward()
    torch.testing.assert_close(torch.func.grad(total)(x), leaf.grad)
    each = torch.func.vmap(torch.func.grad(total))(torch.stack([x, x / 2]))
    torch.testing.assert_close(each[0], leaf.grad)
    leaf.grad, eager = None, leaf.grad
    torch.compile(total, backend="aot_eager", fullgraph=True)(leaf).backward()
    torch.testing.assert_close(leaf.grad, eager)


def test_a_riemannian_gradient_needs_tangent_vectors():
    with pytest.raises(ValueError, match='inputs="tangent" for riemannian_gradient=True'):
        PoincareDistance(inputs="ball", riemannian_gradient=True)
    with pytest.raises(ValueError, match="riemannian_gradient True or False, got 'yes'"):
        PoincareSimilarity(riemannian_gradient="yes")
    assert "riemannian_gradient=True" in repr(PoincareDistance(riemannian_gradient=True))


def test_distance_object_has_no_parameters_nor_buffers():
    distance = PoincareDistance()
    assert distance.manifold.c.item() == pytest.approx(0.1, rel=1e-15)
    assert distance.manifold.c.dtype == torch.float64
    assert not list(distance.parameters())
    assert list(distance.state_dict()) == ["_extra_state"]


def test_manifold_measures_the_same_distances():
    x = tangents(6)
    distance = PoincareDistance(c=0.3)
    points = distance.to_ball(x)
    theirs = distance.manifold.dist(points.unsqueeze(1), points.flip(0))
    torch.testing.assert_close(distance(x, x.flip(0)), theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("distance_class", CLASSES)
def test_copies_measure_the_same(distance_class):
    distance, x = distance_class(c=0.3, clip_radius=1.7), tangents()
    assert torch.equal(copy.deepcopy(distance)(x), distance(x))


def test_normalize_stays_l2_for_losses_that_normalise_their_weights():
    x = tangents()[1:]
    torch.testing.assert_close(
        PoincareDistance().normalize(x), torch.nn.functional.normalize(x, dim=1)
    )


@pytest.mark.parametrize("distance_class", CLASSES)
def test_statistics_tell_norms_and_the_clipped_fraction(distance_class):
    distance = distance_class(collect_stats=True)
    x = torch.tensor([[0.5, 0], [2.3, 0], [2.29, 0], [0, 9.0]])
    y = torch.tensor([[0.0, 5.0], [3.0, 0.0]])
    distance(x, y)
    assert distance.clipped_query_fraction == 0.5
    assert distance.clipped_ref_fraction == 1.0
    assert distance.initial_avg_query_norm == pytest.approx((0.5 + 2.3 + 2.29 + 9) / 4)
    edge = math.tanh(math.sqrt(0.1) * 2.3) / math.sqrt(0.1)
    assert distance.final_avg_ref_norm == pytest.approx(edge)


def test_statistics_are_off_unless_asked_for():
    distance = PoincareDistance()
    distance(tangents())
    assert not hasattr(distance, "initial_avg_query_norm")
    assert not hasattr(distance, "clipped_query_fraction")


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        (PoincareDistance(), 0.75),
        (PoincareDistance(clip_radius=100), 0.0),
        (PoincareDistance(clip_radius=None), 0.0),
        (PoincareDistance(inputs="ball"), 0.0),
    ],
)
def test_clip_saturation_is_the_fraction_at_the_radius(distance, expected):
    x = torch.tensor([[1.0, 0], [2.3, 0], [0, 9.0], [-3, 0]])
    saturation = distance.clip_saturation(x.requires_grad_())
    assert saturation.item() == expected
    assert not saturation.requires_grad


@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"c": 0}, "c must be .*0"),
        ({"c": -1.0}, "c must be .*-1.0"),
        ({"c": math.nan}, "c must be .*nan"),
        ({"c": math.inf}, "c must be .*inf"),
        ({"clip_radius": 0}, "clip_radius must be .*0"),
        ({"clip_radius": -2.3}, "clip_radius must be .*-2.3"),
        ({"clip_radius": math.nan}, "clip_radius must be .*nan"),
        ({"clip_radius": True}, "clip_radius must be .*True"),
        ({"clip_radius": torch.tensor(2.3)}, "clip_radius must be .*tensor"),
        ({"c": torch.tensor(0.1)}, "c must be .*tensor"),
        ({"inputs": "euclidean"}, 'inputs must be "tangent" or "ball", got .euclidean'),
        ({"normalize_embeddings": True}, "inputs="),
        ({"normalize_embeddings": False}, "inputs="),
        ({"p": 1}, "p="),
        ({"is_inverted": True}, "is_inverted="),
    ],
)
def test_bad_arguments_are_refused_with_what_was_given(distance_class, arguments, named):
    with pytest.raises(ValueError, match=named):
        distance_class(**arguments)


@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("inputs", ["tangent", "ball"])
def test_non_finite_embeddings_are_refused_on_the_cpu(distance_class, bad, inputs):
    distance = distance_class(inputs=inputs)
    x, good = 0.1 * tangents(), 0.1 * tangents(seed=1)
    x[3, 2] = bad
    for call in (
        lambda: distance(x),
        lambda: distance(good, x),
        lambda: distance.pairwise_distance(good, x),
    ):
        with pytest.raises(ValueError, match="NaN or infinite"):
            call()


def test_large_finite_embeddings_are_not_mistaken_for_infinite_ones():
    x = torch.full((4, 3), 3e38)
    assert torch.isfinite(PoincareDistance()(x)).all()


@pytest.mark.parametrize("norm", [1.0, 1.5])
def test_ball_inputs_on_or_outside_the_boundary_are_refused(norm):
    distance = PoincareDistance(c=1.0, inputs="ball")
    inside, outside = torch.tensor([[0.5, 0.0]]), torch.tensor([[0.0, norm]])
    for call in (
        lambda: distance(outside),
        lambda: distance(inside, outside),
        lambda: distance.pairwise_distance(inside, outside),
    ):
        with pytest.raises(ValueError, match=rf'inputs="ball".*{norm:g}.*inputs="tangent"'):
            call()


@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.parametrize(
    ("method", "shapes"),
    [
        ("forward", ((4,), (3, 4))),
        ("forward", ((3, 4), (4,))),
        *[
            (method, shapes)
            for method in ("forward", "pairwise_distance")
            for shapes in (((2, 3, 4), (3, 4)), ((3, 4), (3, 5)))
        ],
        ("pairwise_distance", ((4,), (5,))),
        ("pairwise_distance", ((4,), (3, 1))),
        ("pairwise_distance", ((), (4,))),
    ],
)
def test_wrong_shapes_are_refused(distance_class, shapes, method):
    x, y = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"2-?D|\(N, D\)|shape"):
        getattr(distance_class(), method)(x, y)


@pytest.mark.parametrize("distance_class", CLASSES)
def test_pairwise_distance_refuses_different_numbers_of_rows(distance_class):
    with pytest.raises(ValueError, match=r"3.*2"):
        distance_class().pairwise_distance(torch.zeros(3, 4), torch.zeros(2, 4))


def test_a_refused_call_changes_nothing():
    distance = PoincareDistance(collect_stats=True)
    distance(tangents())
    before = dict(vars(distance))
    with pytest.raises(ValueError, match="NaN or infinite"):
        distance.pairwise_distance(tangents(), tangents() * math.nan)
    assert vars(distance) == before


@pytest.mark.parametrize("power", [0, -1, math.nan, "2", True])
def test_a_power_that_makes_no_distance_is_refused(power):
    with pytest.raises(ValueError, match="power > 0"):
        PoincareDistance(power=power)


@pytest.mark.parametrize("method", ["to_ball", "maybe_normalize"])
@pytest.mark.parametrize("collect_stats", [False, True])
def test_a_subclass_may_map_in_its_own_way(method, collect_stats):
    def halved(self, embeddings, *args, **kwargs):
        return getattr(PoincareDistance, method)(self, embeddings / 2, *args, **kwargs)

    own = type("Own", (PoincareDistance,), {method: halved})(collect_stats=collect_stats)
    x = tangents()
    torch.testing.assert_close(own(x), PoincareDistance()(x / 2))


@pytest.mark.parametrize("collect_stats", [False, True])
def test_a_subclass_may_measure_in_its_own_way(collect_stats):
    class Own(PoincareDistance):
        def compute_mat(self, query_emb, ref_emb=None):
            return 2 * super().compute_mat(query_emb, ref_emb)

    class Heir(Own):
        pass

    x = tangents()
    for kind in (Own, Heir):
        values = kind(collect_stats=collect_stats)(x)
        torch.testing.assert_close(values, 2 * PoincareDistance()(x))


def test_a_mixin_may_map_in_its_own_way():
    class Halving:
        def to_ball(self, embeddings):
            return super().to_ball(embeddings / 2)

    class Own(Halving, PoincareSimilarity):
        pass

    x = tangents()
    torch.testing.assert_close(Own()(x), PoincareSimilarity()(x / 2))


@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.parametrize("inputs", ["tangent", "ball"])
def test_pairwise_distance_broadcasts_rows_as_lp_distance_does(distance_class, inputs):
    distance = distance_class(inputs=inputs)
    x, y = (tangents(5, seed=seed) / 4 for seed in (0, 1))
    matrix = distance(x, y)
    for a, b, expected in (
        (x[:1], y, matrix[0]),
        (x, y[:1], matrix[:, 0]),
        (x[2], y, matrix[2]),
        (x, y[3], matrix[:, 3]),
        (x[1], y[4], matrix[1, 4]),
    ):
        values = distance.pairwise_distance(a, b)
        assert values.shape == LpDistance().pairwise_distance(a, b).shape
        torch.testing.assert_close(values, expected)


@pytest.mark.parametrize("distance_class", CLASSES)
def test_the_count_of_bad_vectors_is_right_for_a_single_one(distance_class):
    x = tangents()
    with pytest.raises(ValueError, match="in 1 of 1 embeddings"):
        distance_class().pairwise_distance(x, x[0] * math.nan)


@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.parametrize("inputs", ["tangent", "ball"])
def test_torch_func(distance_class, inputs):
    distance = distance_class(inputs=inputs)
    x, y = torch.stack([tangents(5, seed=seed) / 4 for seed in range(3)]), tangents(4) / 4
    for function in (
        distance,
        lambda v: distance(v, y),
        lambda v: distance(y, v),
        lambda v: distance.pairwise_distance(v[:4], y),
    ):
        each = torch.stack([function(v) for v in x])
        torch.testing.assert_close(torch.func.vmap(function)(x), each)

        def total(v, function=function):
            return function(v).square().sum()

        leaf = x.clone().requires_grad_()
        sum(total(v) for v in leaf).backward()
        gradients = torch.stack([torch.func.grad(total)(v) for v in x])
        torch.testing.assert_close(gradients, leaf.grad)
        torch.testing.assert_close(torch.func.vmap(torch.func.grad(total))(x), leaf.grad)


@pytest.mark.parametrize("inputs", ["tangent", "ball"])
@pytest.mark.parametrize(
    "make",
    [PoincareDistance, PoincareSimilarity, lambda **kwargs: PoincareDistance(power=2, **kwargs)],
    ids=["distance", "similarity", "squared"],
)
def test_a_forward_pass_on_an_accelerator_waits_for_nothing(make, inputs):
    distance = make(inputs=inputs)
    with fake_gpu():
        x = torch.empty(5, 3, device="cuda", requires_grad=True)
        y = torch.empty(7, 3, device="cuda")
        found = [distance(x), distance(x, y), distance(y, x), distance.pairwise_distance(x, x)]
    assert [tuple(values.shape) for values in found] == [(5, 5), (5, 7), (7, 5), (5,)]
    assert {values.device.type for values in found} == {"cuda"}


@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.parametrize("inputs", ["tangent", "ball"])
@pytest.mark.usefixtures("as_on_accelerators")
def test_a_backward_pass_on_an_accelerator_waits_for_nothing(distance_class, inputs):
    # Autograd refuses to run on fake tensors of a device that is absent.
    distance = distance_class(inputs=inputs)
    x, y = ((tangents(n) / 4).requires_grad_() for n in (6, 9))
    with Dispatched() as done:
        values = [distance(x), distance(x, y), distance.pairwise_distance(x, y[:6])]
        sum(value.sum() for value in values).backward()
    assert not done.names & READS


@pytest.mark.parametrize("distance_class", CLASSES)
@pytest.mark.usefixtures("reduced_precision")
def test_products_are_in_full_float32_whatever_is_set(distance_class):
    x = tangents(dtype=torch.float32).requires_grad_()
    with ProductPrecisions() as products:
        distance_class()(x).sum().backward()
    assert products.all_full
