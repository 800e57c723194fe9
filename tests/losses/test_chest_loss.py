"""CHESTLoss: two SoftTriple losses and a hierarchy, against PML and slow references."""

import copy
import math

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners, reducers
from pytorch_metric_learning.distances import CosineSimilarity

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.losses import CHESTLoss
from pml_hyperbolic.regularizers import HypHCRegularizer
from tests.devices import DEVICES
from tests.dispatch import Dispatched
from tests.product_precision import ProductPrecisions
from tests.references import chest
from tests.waiting import Waits, waits_of_a_forward_pass

CLASSES, EUCLIDEAN, HYPERBOLIC = 5, 6, 4
SIZE = EUCLIDEAN + HYPERBOLIC
PARTS = ["euclidean_loss", "hyperbolic_loss", "hierarchy_loss"]


def batch(n=12, classes=CLASSES, dtype=torch.float32):
    x = 1.5 * torch.randn(n, SIZE, generator=torch.Generator().manual_seed(0))
    return x.to(dtype).requires_grad_(), torch.arange(n) % classes


def build(classes=CLASSES, hierarchy_weight=1, **options):
    return CHESTLoss(classes, EUCLIDEAN, HYPERBOLIC, hierarchy_weight=hierarchy_weight, **options)


def nested(proxies, classes, centers):
    """PML's (D, classes * centers) matrix as vectors by class and centre."""
    columns = proxies.t()
    return [[columns[c * centers + k] for k in range(centers)] for c in range(classes)]


def test_defaults_are_the_documented_choices():
    loss_fn = CHESTLoss(100, 64, 32)
    assert loss_fn.sub_loss_names() == PARTS
    assert isinstance(loss_fn.distance, PoincareSimilarity)
    assert (loss_fn.distance.c, loss_fn.distance.clip_radius) == (0.1, 2.3)
    assert sorted(tuple(p.shape) for p in loss_fn.parameters()) == [(32, 200), (64, 200)]
    for part in (loss_fn.euclidean, loss_fn.hyperbolic):
        norms = part.fc.detach().norm(dim=0)  # randn / sqrt(D) * 0.9 * r
        assert float(norms.mean()) == pytest.approx(0.9 * 2.3, rel=0.05)
    weights = loss_fn.euclidean_weight, loss_fn.hyperbolic_weight, loss_fn.hierarchy_weight
    assert weights == (1, 1, 0)
    assert loss_fn.hierarchy.temperature == 0.05
    assert loss_fn.hierarchy.num_triplets == 2000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("centers", [1, 2, 10])
@pytest.mark.parametrize("mined", [False, True])
def test_with_the_other_weights_zero_it_is_pmls_soft_triple_to_the_last_bit(dtype, centers, mined):
    x, labels = batch(dtype=dtype)
    settings = {"centers_per_class": centers, "la": 15, "gamma": 0.2, "margin": 0.05}
    ours = build(hyperbolic_weight=0, hierarchy_weight=0, **settings).to(dtype)
    theirs = pml_losses.SoftTripleLoss(CLASSES, EUCLIDEAN, **settings).to(dtype)
    theirs.fc.data.copy_(ours.euclidean.fc.data)
    flat = x.detach()[:, :EUCLIDEAN].clone().requires_grad_()
    indices = miners.MultiSimilarityMiner()(flat, labels) if mined else None
    loss, expected = ours(x, labels, indices), theirs(flat, labels, indices)
    assert torch.equal(loss, expected)
    loss.backward()
    expected.backward()
    assert torch.equal(x.grad[:, :EUCLIDEAN], flat.grad)
    assert (x.grad[:, EUCLIDEAN:] == 0).all()
    assert torch.equal(ours.euclidean.fc.grad, theirs.fc.grad)


def test_hyperbolic_branch_is_pmls_soft_triple_on_the_similarity():
    x, labels = batch()
    similarity = PoincareSimilarity(c=0.3, clip_radius=1.5)
    ours = build(euclidean_weight=0, hierarchy_weight=0, distance=similarity)
    theirs = pml_losses.SoftTripleLoss(
        CLASSES, HYPERBOLIC, centers_per_class=2, distance=similarity
    )
    theirs.fc.data.copy_(ours.hyperbolic.fc.data)
    assert torch.equal(ours(x, labels), theirs(x[:, EUCLIDEAN:], labels))


@pytest.mark.parametrize(("c", "clip_radius"), [(0.1, 2.3), (1.0, 1.2)])
@pytest.mark.parametrize(("classes", "centers"), [(3, 1), (4, 3)])
def test_loss_and_gradients_agree_with_the_loop_reference(c, clip_radius, classes, centers):
    # Three proxies have one triplet, whatever is drawn; with more the hierarchy is left out.
    whole = classes * centers == 3
    x, labels = batch(8, classes, torch.float64)
    weights = {"euclidean_weight": 0.7, "hyperbolic_weight": 1.3}
    loss_fn = build(
        classes,
        centers_per_class=centers,
        hierarchy_weight=2.0 if whole else 0,
        distance=PoincareSimilarity(c=c, clip_radius=clip_radius),
        **weights,
    ).double()
    loss = loss_fn(x, labels)
    loss.backward()

    y = x.detach().clone().requires_grad_()
    flat, curved = (
        p.detach().clone().requires_grad_() for p in (loss_fn.euclidean.fc, loss_fn.hyperbolic.fc)
    )
    euclidean, hyperbolic, hierarchy = chest.chest_losses(
        y,
        labels,
        nested(flat, classes, centers),
        nested(curved, classes, centers),
        torch.tensor([[0], [1], [2]]),
        euclidean_size=EUCLIDEAN,
        c=c,
        clip_radius=clip_radius,
        la=20,
        gamma=0.1,
        margin=0.01,
        temperature=0.05,
    )
    expected = 0.7 * euclidean + 1.3 * hyperbolic + (2.0 * hierarchy if whole else 0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    assert float(loss_fn.sub_losses["hyperbolic_loss"]) == pytest.approx(
        1.3 * hyperbolic.item(), rel=1e-6
    )
    expected.backward()
    for ours, theirs in (
        (x.grad, y.grad),
        (loss_fn.euclidean.fc.grad, flat.grad),
        (loss_fn.hyperbolic.fc.grad, curved.grad),
    ):
        assert float((ours - theirs).norm()) <= 1e-9 * float(theirs.norm())


@pytest.mark.parametrize("space", ["euclidean", "hyperbolic"])
def test_logits_of_a_space_agree_with_the_loop_reference(space):
    x, _ = batch(dtype=torch.float64)
    loss_fn = build().double()
    part, size = (
        (loss_fn.euclidean, slice(0, EUCLIDEAN))
        if space == "euclidean"
        else (loss_fn.hyperbolic, slice(EUCLIDEAN, None))
    )

    def similarity(p, q):
        if space == "euclidean":
            return chest.cosine(p, q)
        return chest.bounded_poincare(p, q, 0.1, 2.3)

    proxies = nested(part.fc.detach(), CLASSES, 2)
    expected = torch.stack(
        [chest.class_similarities(row, proxies, similarity, 0.1) for row in x.detach()[:, size]]
    )
    logits = loss_fn.get_logits(x, space=space)
    assert logits.shape == (12, CLASSES)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


def test_logits_are_hyperbolic_unless_asked_otherwise():
    x, _ = batch()
    loss_fn = build()
    assert torch.equal(loss_fn.get_logits(x), loss_fn.get_logits(x, space="hyperbolic"))
    assert not torch.equal(loss_fn.get_logits(x), loss_fn.get_logits(x, space="euclidean"))
    with pytest.raises(ValueError, match="spherical"):
        loss_fn.get_logits(x, space="spherical")
    with pytest.raises(ValueError, match=f"{SIZE}"):
        loss_fn.get_logits(x[:, 1:])


def test_total_is_the_sum_of_its_parts():
    x, labels = batch()
    whole = build()
    parts = []
    for name in ("euclidean_weight", "hyperbolic_weight", "hierarchy_weight"):
        weights = dict.fromkeys(("euclidean_weight", "hyperbolic_weight", "hierarchy_weight"), 0)
        alone = build(**{**weights, name: 1})
        alone.load_state_dict(whole.state_dict())
        torch.manual_seed(0)
        parts.append(alone(x, labels))
    torch.manual_seed(0)
    torch.testing.assert_close(whole(x, labels), sum(parts))
    assert all(part.item() > 0 for part in parts)


def test_hierarchy_moves_hyperbolic_proxies_and_only_them():
    x, labels = batch()
    loss_fn = build(euclidean_weight=0, hyperbolic_weight=0)
    loss_fn(x, labels).backward()
    assert float(loss_fn.hyperbolic.fc.grad.abs().sum()) > 0
    assert loss_fn.euclidean.fc.grad is None
    assert (x.grad == 0).all()


def test_flat_space_teaches_the_hierarchy():
    # The same hyperbolic proxies cost less under Euclidean proxies arranged as they are.
    loss_fn = build(3, euclidean_weight=0, hyperbolic_weight=0, centers_per_class=1)
    with torch.no_grad():
        loss_fn.hyperbolic.fc.zero_()
        loss_fn.hyperbolic.fc[:2] = torch.tensor([[2.0, 2.0, -2.0], [0.3, -0.3, 0.0]])
    x, labels = batch(classes=3)
    costs = []
    for alone in (2, 1):
        with torch.no_grad():
            loss_fn.euclidean.fc.zero_()
            loss_fn.euclidean.fc[0] = 1
            loss_fn.euclidean.fc[0, alone] = -1
        costs.append(loss_fn(x, labels).item())
    assert costs[0] < 0.1 < costs[1]


@pytest.mark.parametrize("centers", [1, 2])
def test_the_default_similarity_is_that_of_euclidean_proxies_of_the_same_class_and_centre(centers):
    ours = build(euclidean_weight=0, hyperbolic_weight=0, centers_per_class=centers)
    table = torch.tensor(
        chest.flat_space_similarity(nested(ours.euclidean.fc.detach(), CLASSES, centers))
    )
    assert float(table.std()) > 0.2  # proxies in few dimensions: all kinds of similarity
    torch.manual_seed(0)
    expected = HypHCRegularizer(similarity=lambda i, j: table[i, j])(ours.hyperbolic.fc.t())
    torch.manual_seed(0)
    loss = ours(*batch())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    i, j = torch.arange(CLASSES * centers), torch.arange(CLASSES * centers).flip(0)
    similarity = ours.hierarchy.similarity(i, j)
    torch.testing.assert_close(similarity, table[i, j].float(), rtol=1e-5, atol=1e-6)
    assert not similarity.requires_grad


def test_another_hierarchy_regularizer_is_given_the_hyperbolic_proxies_and_weighted():
    asked = []

    def similarity(i, j):
        asked.append((i, j))
        return (i // 2 == j // 2).float()

    regularizer = HypHCRegularizer(num_triplets=7, similarity=similarity)
    loss_fn = build(
        euclidean_weight=0,
        hyperbolic_weight=0,
        hierarchy_weight=0.3,
        hierarchy_regularizer=regularizer,
    )
    torch.manual_seed(0)
    loss = loss_fn(*batch())
    assert len(asked) == 3
    assert all(i.shape == j.shape == (7,) for i, j in asked)
    assert all(0 <= int(k.min()) <= int(k.max()) < 2 * CLASSES for pair in asked for k in pair)
    torch.manual_seed(0)
    torch.testing.assert_close(loss, 0.3 * regularizer(loss_fn.hyperbolic.fc.t()))


@pytest.mark.parametrize("centers", [1, 2, 3])
def test_classes_may_be_the_hierarchys_similarity(centers):
    # The class of each proxy, in PML's order of columns.
    number = [c for c in range(CLASSES) for _ in range(centers)]

    def same(i, j):
        return torch.tensor([float(number[a] == number[b]) for a, b in zip(i, j, strict=True)])

    options = {"euclidean_weight": 0, "hyperbolic_weight": 0, "centers_per_class": centers}
    ours = build(hierarchy_similarity="class", **options)
    other = build(hierarchy_regularizer=HypHCRegularizer(similarity=same), **options)
    other.load_state_dict(ours.state_dict())
    x, labels = batch()
    losses = []
    for loss_fn in (ours, other):
        torch.manual_seed(0)
        losses.append(loss_fn(x, labels).item())
    assert losses[0] == losses[1]
    # A class's logit comes from these proxies: for an embedding on a proxy its class is largest.
    on_proxies = torch.cat([torch.zeros(len(number), EUCLIDEAN), ours.hyperbolic.fc.t()], dim=1)
    assert ours.get_logits(on_proxies.detach()).argmax(1).tolist() == number


def test_loss_trains_embeddings_and_both_sets_of_proxies():
    x, labels = batch()
    loss_fn = build()
    before = [p.detach().clone() for p in loss_fn.parameters()]
    assert len(before) == 2
    optimizer = torch.optim.Adam([x, *loss_fn.parameters()], lr=0.05)
    history = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = loss_fn(x, labels)
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.5 * history[0]
    for parameter, old in zip(loss_fn.parameters(), before, strict=True):
        assert not torch.equal(parameter, old)
    assert (loss_fn.get_logits(x).argmax(1) == labels).all()
    assert (loss_fn.get_logits(x, space="euclidean").argmax(1) == labels).all()


REDUCED = {
    reducers.MeanReducer(): lambda losses: losses.mean(),
    reducers.AvgNonZeroReducer(): lambda losses: losses[losses > 0].mean(),
    reducers.SumReducer(): lambda losses: losses.sum(),
    reducers.ThresholdReducer(high=5): lambda losses: losses[losses < 5].mean(),
}


@pytest.mark.parametrize(
    ("reducer", "reduced"), REDUCED.items(), ids=[type(reducer).__name__ for reducer in REDUCED]
)
def test_reducers_reduce_each_part(reducer, reduced):
    x, labels = batch()
    loss_fn = build(reducer=reducers.DoNothingReducer())
    torch.manual_seed(0)
    parts = loss_fn(x, labels)
    losses = [parts[name]["losses"] for name in PARTS]
    assert all(0 < int((part < 5).sum()) < 12 for part in losses[:2])
    loss_fn.set_reducer(reducer)
    torch.manual_seed(0)
    loss = loss_fn(x, labels)
    torch.testing.assert_close(loss, reduced(losses[0]) + reduced(losses[1]) + losses[2])
    loss.backward()
    assert float(x.grad.abs().sum()) > 0
    assert torch.isfinite(x.grad).all()


def test_do_nothing_reducer_returns_one_value_an_embedding():
    x, labels = batch()
    loss_fn = build(reducer=reducers.DoNothingReducer())
    parts = loss_fn(x, labels)
    assert list(parts) == PARTS
    assert parts["euclidean_loss"]["losses"].shape == (12,)
    assert parts["hyperbolic_loss"]["losses"].shape == (12,)
    assert parts["hierarchy_loss"]["losses"].ndim == 0
    # The value of an embedding does not depend on the others.
    alone = build(reducer=reducers.DoNothingReducer())
    alone.load_state_dict(loss_fn.state_dict())
    for row in range(12):
        single = alone(x[row : row + 1], labels[row : row + 1])
        for name in PARTS[:2]:
            torch.testing.assert_close(single[name]["losses"][0], parts[name]["losses"][row])


def test_statistics_tell_saturation_and_each_sub_loss():
    x, labels = batch()
    loss_fn = build(collect_stats=True)
    with torch.no_grad():
        x[:, EUCLIDEAN:] = torch.nn.functional.normalize(x[:, EUCLIDEAN:])
        x[:3, EUCLIDEAN:] *= 3
        loss_fn.hyperbolic.fc.copy_(torch.nn.functional.normalize(loss_fn.hyperbolic.fc, dim=0))
        loss_fn.hyperbolic.fc[:, :5] *= 3
    loss = loss_fn(x, labels)
    assert loss_fn.embedding_saturation == 0.25
    assert loss_fn.proxy_saturation == 0.5
    assert loss.item() == pytest.approx(sum(getattr(loss_fn, name) for name in PARTS), rel=1e-6)
    assert {*PARTS, "embedding_saturation", "proxy_saturation"} <= set(loss_fn._record_these_stats)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("parameters", [torch.float32, torch.float64])
def test_parameters_keep_their_dtype(dtype, autocast, parameters, device):
    x, labels = batch(dtype=dtype)
    x = x.detach().to(device).requires_grad_()
    loss_fn = build().to(device, parameters)
    before = list(loss_fn.parameters())
    with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
        loss = loss_fn(x, labels)
        logits = loss_fn.get_logits(x)
    loss.backward()
    assert logits.dtype == loss.dtype == parameters
    for parameter, old in zip(loss_fn.parameters(), before, strict=True):
        assert parameter is old
        assert parameter.dtype == parameter.grad.dtype == parameters
    assert x.grad.dtype == dtype
    assert torch.isfinite(x.grad).all()


def test_autocast_changes_no_bit():
    x, labels = batch()
    loss_fn = build()
    torch.manual_seed(0)
    outside = loss_fn(x, labels)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss_fn(x, labels)
    assert torch.equal(outside, inside)


@pytest.mark.parametrize(
    "values", [torch.zeros(4, SIZE), torch.full((4, SIZE), 1e4), torch.ones(4, SIZE)]
)
def test_awkward_embeddings_give_finite_gradients(values):
    x = values.clone().requires_grad_()
    loss_fn = build()
    loss = loss_fn(x, torch.tensor([0, 0, 1, 4]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in loss_fn.parameters())


@pytest.mark.usefixtures("algorithm")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("length", [0, 1e-7, 1e-5, 1e-4])
def test_short_euclidean_parts_give_finite_gradients(length, dtype):
    x, labels = batch()
    with torch.no_grad():
        x[::2, :EUCLIDEAN] *= length / x[::2, :EUCLIDEAN].norm(dim=1, keepdim=True)
    x = x.detach().to(dtype).requires_grad_()
    loss_fn = build()
    loss = loss_fn(x, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
    # Parts with a direction get a gradient, and so do all hyperbolic parts.
    assert (x.grad[1::2] != 0).all()
    assert (x.grad[::2, EUCLIDEAN:] != 0).all()
    has_direction = length > 0 and dtype != torch.float16
    assert bool((x.grad[::2, :EUCLIDEAN] != 0).any()) == has_direction
    if not has_direction:
        logits = loss_fn.get_logits(x, space="euclidean")
        assert (logits[::2] == 0).all()
        assert (logits[1::2] != 0).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rows_of_zeros_change_no_gradient_of_the_others(dtype):
    x, labels = batch(dtype=dtype)
    loss_fn = build(hyperbolic_weight=0, hierarchy_weight=0)
    loss_fn(x[:6], labels[:6]).backward()
    expected = x.grad[:6] / 2  # the mean is over twice as many
    y = torch.cat([x.detach()[:6], torch.zeros(6, SIZE, dtype=dtype)]).requires_grad_()
    loss_fn(y, labels).backward()
    torch.testing.assert_close(y.grad[:6], expected)
    assert (y.grad[6:] == 0).all()


@pytest.mark.parametrize(
    ("n", "classes", "centers"), [(1, 5, 2), (12, 1, 1), (12, 1, 2), (3, 2, 1)]
)
def test_degenerate_batches_give_a_finite_loss_that_backpropagates(n, classes, centers):
    x, labels = batch(n, classes)
    loss = build(classes, centers_per_class=centers)(x, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()


def test_copies_are_independent_of_the_original():
    # The default hierarchy asks the loss for its Euclidean proxies: a copy must ask the copy.
    x, labels = batch(classes=3)
    first = build(3, centers_per_class=1, euclidean_weight=0, hyperbolic_weight=0)
    second = copy.deepcopy(first)
    with torch.no_grad():
        first.euclidean.fc.fill_(1.0)
    similar = first(x, labels).item()
    own = second(x, labels).item()
    with torch.no_grad():
        second.euclidean.fc.fill_(1.0)
    assert own != similar
    assert second(x, labels).item() == pytest.approx(similar, rel=1e-6)


def test_state_dict_holds_the_proxies_and_the_geometry_alone():
    first, second = build(), build()
    second.load_state_dict(first.state_dict())
    distances = ("distance", "hierarchy.distance", "hyperbolic.distance")
    assert sorted(first.state_dict()) == sorted(
        ["euclidean.fc", "hyperbolic.fc", *(f"{name}._extra_state" for name in distances)]
    )
    x, labels = batch()
    torch.manual_seed(0)
    value = first(x, labels)
    torch.manual_seed(0)
    assert torch.equal(value, second(x, labels))


def refused(loss_fn, x, labels, match, **kwargs):
    state = {name: value.clone() for name, value in loss_fn.state_dict().items()}
    parts = dict(loss_fn.sub_losses)
    with pytest.raises(ValueError, match=match):
        loss_fn(x, labels, **kwargs)
    assert loss_fn.sub_losses == parts
    for name, value in loss_fn.state_dict().items():
        assert torch.equal(state[name], value)
        assert state[name].dtype == value.dtype


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        ((4, SIZE + 1), rf"{SIZE}.*{SIZE + 1}"),
        ((4, EUCLIDEAN), rf"{SIZE}.*{EUCLIDEAN}"),
        ((SIZE,), f"{SIZE}"),
        ((2, 2, SIZE), f"{SIZE}"),
    ],
)
def test_embeddings_must_have_the_sum_of_the_two_sizes(shape, named):
    x = torch.zeros(shape, dtype=torch.float64)
    refused(build(), x, torch.zeros(shape[0], dtype=torch.long), named)


@pytest.mark.parametrize(
    ("labels", "named"),
    [([0, 1, 5], "0 to 4.*5"), ([0, -1, 2], "0 to 4.*-1"), ([0, 1], "labels"), (None, "labels")],
)
def test_labels_must_fit(labels, named):
    x, _ = batch(3)
    refused(build(), x, None if labels is None else torch.tensor(labels), named)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("column", [0, SIZE - 1])
def test_non_finite_embeddings_are_refused(bad, column):
    x, labels = batch()
    x = x.detach()
    x[2, column] = bad
    refused(build(), x, labels, "NaN or infinite")


def test_separate_references_are_refused():
    x, labels = batch()
    refused(build(), x, labels, "ref_emb", ref_emb=x + 1, ref_labels=labels)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_classes": 0},
        {"num_classes": -3},
        {"euclidean_size": 0},
        {"hyperbolic_size": 0},
        {"centers_per_class": 0},
        {"gamma": 0},
        {"euclidean_weight": -1.0},
        {"hyperbolic_weight": math.nan},
        {"hierarchy_weight": math.inf},
    ],
)
def test_bad_arguments_are_refused_with_what_was_given(arguments):
    ((name, value),) = arguments.items()
    settings = {"num_classes": 3, "euclidean_size": 4, "hyperbolic_size": 4, **arguments}
    with pytest.raises(ValueError, match=rf"{name}.*{value}"):
        CHESTLoss(**settings)


@pytest.mark.parametrize("distance", [CosineSimilarity(), PoincareDistance()])
def test_the_distance_must_be_a_similarity_on_the_ball(distance):
    with pytest.raises(ValueError, match=type(distance).__name__):
        build(distance=distance)


def test_a_similarity_for_ball_points_is_refused():
    with pytest.raises(ValueError, match='inputs="tangent"'):
        build(distance=PoincareSimilarity(inputs="ball"))


def test_memory_grows_with_batch_times_proxies_and_proxies_times_dimensions_only():
    batch, classes, size = 40, 900, 30
    loss = CHESTLoss(classes, size, size)
    embeddings = torch.randn(batch, 2 * size, requires_grad=True)
    with Dispatched() as done:
        loss(embeddings, torch.arange(batch)).backward()
    proxies = 2 * classes
    assert done.largest <= max(batch * proxies, proxies * (size + 2), 6000 * size)
    assert done.largest < proxies * proxies / 10


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"la": math.nan}, "la"),
        ({"la": -1}, "la"),
        ({"margin": -0.1}, "margin"),
        ({"euclidean_weight": 0, "hyperbolic_weight": 0, "hierarchy_weight": 0}, "three zeros"),
        ({"hierarchy_regularizer": "HypHC"}, "HypHCRegularizer"),
        ({"hierarchy_similarity": "class"}, "give a weight, such as 1"),
        ({"hierarchy_regularizer": HypHCRegularizer()}, "give a weight, such as 1"),
        ({"hierarchy_similarity": "classes"}, '"euclidean" or "class", got \'classes\''),
        (
            {"hierarchy_similarity": "class", "hierarchy_regularizer": HypHCRegularizer()},
            "leave one out",
        ),
        (
            {"hierarchy_regularizer": HypHCRegularizer(distance=PoincareDistance(c=9))},
            "one distance object",
        ),
        (
            # It would take the proxies, which are tangent vectors, for points on the ball.
            {
                "hierarchy_weight": 1,
                "hierarchy_regularizer": HypHCRegularizer(distance=PoincareDistance(inputs="ball")),
            },
            "one distance object",
        ),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        CHESTLoss(3, 4, 4, **arguments)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.uint16, torch.uint32])
def test_labels_may_be_any_integers(dtype):
    x, labels = batch()
    loss = build(hierarchy_weight=0)
    assert loss(x, labels.to(dtype)) == loss(x, labels)
    with pytest.raises(ValueError, match="got labels from 5 to 5"):
        loss(x[:1], torch.tensor([5], dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_labels_must_be_integers(dtype):
    with pytest.raises(ValueError, match="integer labels"):
        CHESTLoss(3, 4, 4)(torch.randn(2, 8), torch.zeros(2, dtype=dtype))


def test_an_empty_batch_gives_a_finite_loss_that_backpropagates():
    embeddings = torch.randn(0, 8, requires_grad=True)
    loss = CHESTLoss(3, 4, 4)(embeddings, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert torch.isfinite(loss)
    assert embeddings.grad.shape == (0, 8)


# Dynamo itself looks at the gradient of intermediate tensors after a graph break.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_compiled_loss_is_the_loss():
    x, labels = batch()
    loss_fn = build()
    results = []
    for call in (loss_fn, torch.compile(loss_fn, backend="eager")):
        x.grad = None
        loss_fn.zero_grad()
        torch.manual_seed(0)
        loss = call(x, labels)
        loss.backward()
        results.append((loss.detach(), x.grad, *(p.grad for p in loss_fn.parameters())))
    for plain, same in zip(*results, strict=True):
        torch.testing.assert_close(same, plain)


def test_torch_func_gives_the_gradients_of_autograd():
    x, labels = batch()
    loss_fn = build()

    def loss(x, parameters):
        torch.manual_seed(0)
        return torch.func.functional_call(loss_fn, parameters, (x, labels))

    parameters = dict(loss_fn.named_parameters())
    loss(x, parameters).backward()
    detached = {name: parameter.detach() for name, parameter in parameters.items()}
    to_x, to_parameters = torch.func.grad(loss, argnums=(0, 1))(x.detach(), detached)
    torch.testing.assert_close(to_x, x.grad)
    for name, parameter in parameters.items():
        torch.testing.assert_close(to_parameters[name], parameter.grad)


@pytest.mark.parametrize("weights", [{}, {"hyperbolic_weight": 0}, {"euclidean_weight": 0}])
def test_a_forward_pass_does_not_wait_for_a_gpu(weights):
    assert waits_of_a_forward_pass(lambda: build(**weights), *batch()) == []


@pytest.mark.usefixtures("as_on_accelerators")
@pytest.mark.parametrize("weights", [{}, {"hyperbolic_weight": 0}, {"euclidean_weight": 0}])
def test_neither_pass_reads_values_on_an_accelerator(weights):
    loss_fn = build(**weights)
    with Waits() as waits:
        loss_fn(*batch()).backward()
    assert waits.found == []


@pytest.mark.usefixtures("reduced_precision")
def test_hyperbolic_products_are_in_full_float32_whatever_is_set():
    loss_fn = build(euclidean_weight=0)
    with ProductPrecisions() as products:
        loss_fn(*batch()).backward()
    assert products.all_full
