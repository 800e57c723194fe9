"""HIERLoss: the paper's objective behind PML's interface."""

import copy
import math

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners, reducers
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from pytorch_metric_learning.regularizers import LpRegularizer

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.functional import reciprocal_neighbor_triplets
from pml_hyperbolic.losses import HIERLoss
from pml_hyperbolic.regularizers import HIERRegularizer
from tests.devices import DEVICES
from tests.product_precision import ProductPrecisions
from tests.references import hier
from tests.waiting import Waits, waits_of_a_forward_pass

SIZE, PROXIES = 8, 24


def batch(n=24, classes=8, dtype=torch.float32, seed=0):
    x = torch.randn(n, SIZE, generator=torch.Generator().manual_seed(seed))
    return x.to(dtype).requires_grad_(), torch.arange(n) % classes


def small_loss(**options):
    settings = {"num_neighbors": 6, "triplets_per_anchor": 20, **options}
    return HIERLoss(SIZE, PROXIES, **settings)


def test_defaults_are_the_papers():
    loss_fn = HIERLoss(128)
    assert loss_fn.proxies.shape == (512, 128)
    assert loss_fn.distance.c == 0.1
    assert loss_fn.distance.clip_radius == 2.3
    assert loss_fn.sub_loss_names() == ["data_loss", "proxy_loss"]
    norms = loss_fn.proxies.detach().norm(dim=1)  # randn / sqrt(D) * 0.9 * r
    assert float(norms.mean()) == pytest.approx(0.9 * 2.3, rel=0.02)


@pytest.mark.usefixtures("algorithm")
@pytest.mark.parametrize("with_labels", [True, False])
def test_loss_has_the_mean_of_the_slow_reference(with_labels):
    # Triplets and noise are drawn inside, so compare means over many draws.
    x, labels = batch(14, 7, torch.float64)
    kind = HIERLoss if with_labels else HIERRegularizer
    loss_fn = kind(SIZE, 10, num_neighbors=5, triplets_per_anchor=10, margin=0.2, temperature=0.3)
    loss_fn = loss_fn.double()
    arguments = (x, labels) if with_labels else (x,)
    ours = {"data_loss": [], "proxy_loss": []}
    for _ in range(100):
        loss_fn(*arguments)
        for name, values in ours.items():
            values.append(float(loss_fn.sub_losses[name]))

    points = hier.to_ball(x.detach(), 0.1, 2.3)
    proxies = hier.to_ball(loss_fn.proxies.detach(), 0.1, 2.3)
    to_proxies = hier.distance_matrix(points, proxies, 0.1)
    between = hier.distance_matrix(proxies, proxies, 0.1)
    among = hier.distance_matrix(points, points, 0.1)
    for name, distances, relevance in (
        ("data_loss", to_proxies, hier.relevance(among, labels.tolist() if with_labels else None)),
        ("proxy_loss", between, hier.relevance(between)),
    ):
        exact = exact_mean(distances, hier.allowed_triplets(relevance, 5), 0.2, 0.3)
        measured = torch.tensor(ours[name], dtype=torch.float64)
        assert abs(float(measured.mean()) - exact) <= 4 * float(measured.std()) / 10
        assert float(measured.std()) > 0


def exact_mean(distances, allowed, margin, temperature):
    """Mean of HIER's loss over all allowed triplets and both ancestors, by enumeration."""
    per_anchor = []
    for i, (positives, negatives) in allowed.items():
        values = []
        for j in positives:
            pair = torch.maximum(distances[i], distances[j])
            p = torch.softmax(-pair / temperature, 0)
            for k in negatives:
                q = torch.softmax(-torch.maximum(pair, distances[k]) / temperature, 0)
                gaps = [distances[row].unsqueeze(1) - distances[row] for row in (i, j, k)]
                hinges = torch.relu(gaps[0] + margin) + torch.relu(gaps[1] + margin)
                hinges = (hinges + torch.relu(margin - gaps[2])).fill_diagonal_(0)
                values.append(float((p.unsqueeze(1) * q * hinges).sum()))
        per_anchor.append(sum(values) / len(values))
    return sum(per_anchor) / len(per_anchor)


@pytest.mark.usefixtures("algorithm")
def test_labels_make_same_class_pairs_the_closest():
    # With k = 4 and classes of 4, reciprocal neighbours are exactly the class.
    x, labels = batch(16, 4)
    loss_fn = HIERLoss(SIZE, PROXIES, num_neighbors=4, triplets_per_anchor=20)
    loss_fn.set_reducer(reducers.DoNothingReducer())
    anchors, positives, negatives = loss_fn(x, labels)["data_loss"]["indices"]
    assert len(anchors) == 16 * 20
    assert (labels[anchors] == labels[positives]).all()
    assert (labels[anchors] != labels[negatives]).all()


@pytest.mark.usefixtures("algorithm")
def test_loss_trains_embeddings_and_proxies():
    x, labels = batch()
    loss_fn = small_loss()
    before = loss_fn.proxies.detach().clone()
    optimizer = torch.optim.Adam([x, *loss_fn.parameters()], lr=0.05)
    history = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = loss_fn(x, labels)
        loss.backward()
        assert torch.isfinite(x.grad).all()
        assert torch.isfinite(loss_fn.proxies.grad).all()
        optimizer.step()
        history.append(loss.item())
    assert len(list(loss_fn.parameters())) == 1
    assert not torch.equal(before, loss_fn.proxies.detach())
    assert sum(history[-10:]) < 0.8 * sum(history[:10])


@pytest.mark.usefixtures("algorithm")
def test_loss_follows_the_global_seed():
    x, labels = batch()
    loss_fn = small_loss()

    def run(seed):
        torch.manual_seed(seed)
        return loss_fn(x, labels).item()

    assert run(3) == run(3)
    assert run(3) != run(4)


@pytest.mark.parametrize(
    "distance",
    [LpDistance(power=2), PoincareDistance(c=1.0), PoincareDistance(clip_radius=None)],
    ids=["HIER_sph", "c=1", "unclipped"],
)
def test_any_growing_distance_goes_in(distance):
    x, labels = batch()
    loss_fn = small_loss(distance=distance)
    loss = loss_fn(x, labels)
    loss.backward()
    assert loss.item() > 0
    assert float(x.grad.abs().sum()) > 0
    assert float(loss_fn.proxies.grad.abs().sum()) > 0
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("distance", [CosineSimilarity(), PoincareSimilarity()])
def test_an_inverted_distance_is_refused_by_name(distance):
    with pytest.raises(ValueError, match=type(distance).__name__):
        HIERLoss(SIZE, distance=distance)


def test_a_distance_for_ball_points_is_refused():
    with pytest.raises(ValueError, match='inputs="tangent"'):
        HIERLoss(SIZE, distance=PoincareDistance(inputs="ball"))


REDUCED = {
    reducers.MeanReducer(): lambda losses: losses.mean(),
    reducers.AvgNonZeroReducer(): lambda losses: losses[losses > 0].mean(),
    reducers.SumReducer(): lambda losses: losses.sum(),
    reducers.ThresholdReducer(low=0.3): lambda losses: losses[losses > 0.3].mean(),
}


@pytest.mark.parametrize(
    ("reducer", "reduced"), REDUCED.items(), ids=[type(reducer).__name__ for reducer in REDUCED]
)
def test_reducers_reduce_the_data_loss_by_triplet(reducer, reduced):
    x, labels = batch()
    loss_fn = small_loss(reducer=reducers.DoNothingReducer())
    torch.manual_seed(0)
    parts = loss_fn(x, labels)
    losses = parts["data_loss"]["losses"]
    assert 0 < int((losses > 0.3).sum()) < int((losses > 0).sum()) < len(losses)
    loss_fn.set_reducer(reducer)
    torch.manual_seed(0)
    loss = loss_fn(x, labels)
    torch.testing.assert_close(loss, reduced(losses) + parts["proxy_loss"]["losses"])
    loss.backward()
    assert float(x.grad.abs().sum()) > 0


@pytest.mark.usefixtures("as_on_accelerators")
@pytest.mark.parametrize("reducer", [None, *REDUCED], ids=lambda reducer: type(reducer).__name__)
def test_only_the_mean_on_an_accelerator_hides_single_triplets_from_the_reducer(reducer):
    x, labels = batch()
    loss_fn = small_loss(reducer=reducer)
    part = loss_fn.data_part(*relevance_and_distances(loss_fn, x, labels))
    hidden = reducer is None or type(reducer) is reducers.MeanReducer
    assert part["reduction_type"] == ("already_reduced" if hidden else "triplet")
    assert torch.isfinite(loss_fn(x, labels))


def relevance_and_distances(loss_fn, x, labels):
    distance = loss_fn.distance
    relevance = torch.exp(-distance(x.detach())) + (labels.unsqueeze(1) == labels)
    return relevance, distance(x, loss_fn.proxies)


def test_mean_reducer_averages_all_triplets_zeros_included():
    x, labels = batch()
    loss_fn = small_loss()
    torch.manual_seed(5)
    total = loss_fn(x, labels)
    loss_fn.set_reducer(reducers.DoNothingReducer())
    torch.manual_seed(5)
    parts = loss_fn(x, labels)
    data = parts["data_loss"]["losses"]
    assert (data == 0).any()
    torch.testing.assert_close(total, data.mean() + parts["proxy_loss"]["losses"])
    assert set(parts) == {"data_loss", "proxy_loss"}


def test_loss_combines_with_a_metric_loss_and_a_miner():
    x, labels = batch()
    parts = [pml_losses.ProxyAnchorLoss(8, SIZE), small_loss()]
    combined = pml_losses.MultipleLosses(
        parts, weights=[1, 0.5], miners=[miners.MultiSimilarityMiner(), None]
    )
    torch.manual_seed(1)
    loss = combined(x, labels)
    loss.backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in combined.parameters())
    torch.manual_seed(1)
    mined = miners.MultiSimilarityMiner()(x, labels)
    expected = parts[0](x, labels, mined) + 0.5 * parts[1](x, labels)
    torch.testing.assert_close(loss, expected)


def test_embedding_regularizer_is_added():
    x, labels = batch()
    plain, regularized = small_loss(), small_loss(embedding_regularizer=LpRegularizer())
    regularized.proxies.data.copy_(plain.proxies.data)
    assert regularized.sub_loss_names() == ["data_loss", "proxy_loss", "embedding_reg_loss"]
    torch.manual_seed(2)
    without = plain(x, labels)
    torch.manual_seed(2)
    torch.testing.assert_close(regularized(x, labels), without + x.norm(dim=1).mean())


DEGENERATE = {
    "one sample": (1, [0], {}),
    "two samples": (2, [0, 1], {}),
    "all the same class": (12, [0] * 12, {"num_neighbors": 12}),
    "all classes alone": (12, list(range(12)), {"num_neighbors": 1}),
    "at most one neighbour": (12, list(range(12)), {"num_neighbors": 2}),
    "fewer samples than num_neighbors": (5, [0, 0, 1, 1, 2], {"num_neighbors": 20}),
    "one proxy": (12, list(range(12)), {"num_proxies": 1}),
    "two proxies": (12, list(range(12)), {"num_proxies": 2}),
    "no samples": (0, [], {}),
}


@pytest.mark.usefixtures("algorithm")
@pytest.mark.parametrize(("n", "labels", "options"), DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("reducer", [None, reducers.AvgNonZeroReducer()])
def test_degenerate_batches_give_a_finite_loss_that_backpropagates(n, labels, options, reducer):
    x = torch.randn(n, SIZE, requires_grad=True)
    settings = {"num_proxies": PROXIES, "num_neighbors": 6, **options}
    loss_fn = HIERLoss(SIZE, reducer=reducer, **settings)
    loss = loss_fn(x, torch.tensor(labels, dtype=torch.long))
    loss.backward()
    assert torch.isfinite(loss)
    assert x.grad.shape == x.shape
    assert torch.isfinite(x.grad).all()


@pytest.mark.usefixtures("algorithm")
def test_a_batch_without_triplets_has_a_zero_data_part_and_a_proxy_part():
    x, labels = batch(2, 2)
    loss_fn = small_loss()
    loss = loss_fn(x, labels)
    loss.backward()
    assert float(loss_fn.sub_losses["data_loss"]) == 0
    assert loss.item() == pytest.approx(float(loss_fn.sub_losses["proxy_loss"]))
    assert (x.grad == 0).all()
    assert float(loss_fn.proxies.grad.abs().sum()) > 0


@pytest.mark.usefixtures("algorithm")
def test_identical_embeddings_and_proxies_give_finite_gradients():
    loss_fn = small_loss()
    torch.nn.init.constant_(loss_fn.proxies, 0.3)
    x = torch.full((12, SIZE), 0.3, requires_grad=True)
    loss = loss_fn(x, torch.arange(12) % 4)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(loss_fn.proxies.grad).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("parameters", [torch.float32, torch.float64])
def test_parameters_keep_their_dtype(dtype, autocast, parameters, device):
    x, labels = batch(dtype=dtype)
    x = x.detach().to(device).requires_grad_()
    loss_fn = small_loss().to(device, parameters)
    before = loss_fn.proxies
    with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
        loss = loss_fn(x, labels)
    loss.backward()
    assert loss.dtype == torch.promote_types(dtype, parameters)
    assert loss_fn.proxies is before
    assert loss_fn.proxies.dtype == parameters
    assert loss_fn.proxies.grad.dtype == parameters
    assert x.grad.dtype == dtype
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("distance", [None, LpDistance(power=2)])
def test_autocast_changes_no_bit(distance):
    x, labels = batch()
    loss_fn = small_loss(distance=distance)
    torch.manual_seed(0)
    outside = loss_fn(x, labels)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss_fn(x, labels)
    assert torch.equal(outside, inside)


def test_statistics_tell_saturation_and_each_sub_loss():
    x, labels = batch()
    loss_fn = small_loss(collect_stats=True)
    with torch.no_grad():
        x[:6] = torch.nn.functional.normalize(x[:6]) * 5
        x[6:] = torch.nn.functional.normalize(x[6:])
        loss_fn.proxies.copy_(torch.nn.functional.normalize(loss_fn.proxies))
        loss_fn.proxies[:18] *= 4
    loss = loss_fn(x, labels)
    assert loss_fn.embedding_saturation == 0.25
    assert loss_fn.proxy_saturation == 0.75
    assert loss.item() == pytest.approx(loss_fn.data_loss + loss_fn.proxy_loss, rel=1e-6)
    recorded = {"data_loss", "proxy_loss", "embedding_saturation", "proxy_saturation"}
    assert recorded <= set(loss_fn._record_these_stats)
    settings = {"num_proxies", "embedding_size", "temperature", "num_neighbors"}
    assert settings <= set(loss_fn._record_these)


@pytest.mark.usefixtures("algorithm")
def test_sub_losses_and_saturation_are_exposed_without_statistics():
    x, labels = batch()
    loss_fn = small_loss()
    loss = loss_fn(x, labels)
    parts = loss_fn.sub_losses
    assert set(parts) == {"data_loss", "proxy_loss"}
    torch.testing.assert_close(sum(parts.values()), loss.detach())
    assert not any(value.requires_grad for value in parts.values())
    assert 0 <= float(loss_fn.embedding_saturation) <= 1
    assert 0 <= float(loss_fn.proxy_saturation) <= 1


def test_state_dict_holds_proxies_and_geometry_and_restores_the_loss():
    x, labels = batch()
    first, second = small_loss(), small_loss()
    assert list(first.state_dict()) == ["proxies", "distance._extra_state"]
    second.load_state_dict(first.state_dict())
    values = []
    for loss_fn in (first, second, copy.deepcopy(first)):
        torch.manual_seed(0)
        values.append(loss_fn(x, labels).item())
    assert values[0] == values[1] == values[2]


def unchanged(loss_fn, call, match):
    """The call is refused with such a ValueError, and the loss is as it was."""
    state = {name: value.clone() for name, value in loss_fn.state_dict().items()}
    dtypes = [p.dtype for p in loss_fn.parameters()]
    attributes = {k: v for k, v in vars(loss_fn).items() if not k.startswith("_")}
    with pytest.raises(ValueError, match=match):
        call()
    assert all(torch.equal(state[name], value) for name, value in loss_fn.state_dict().items())
    assert dtypes == [p.dtype for p in loss_fn.parameters()]
    assert attributes == {k: v for k, v in vars(loss_fn).items() if not k.startswith("_")}


@pytest.mark.parametrize(
    ("shape", "named"),
    [((4, SIZE + 1), rf"{SIZE}.*{SIZE + 1}"), ((4, SIZE - 1), f"{SIZE - 1}"), ((SIZE,), f"{SIZE}")],
)
def test_embeddings_of_another_size_are_refused_before_anything_changes(shape, named):
    loss_fn = small_loss()
    x = torch.zeros(shape, dtype=torch.float64)
    unchanged(loss_fn, lambda: loss_fn(x, torch.zeros(shape[0], dtype=torch.long)), named)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_embeddings_are_refused(bad):
    x, labels = batch()
    x = x.detach()
    x[3, 1] = bad
    loss_fn = small_loss()
    unchanged(loss_fn, lambda: loss_fn(x, labels), "NaN or infinite")


def test_labels_are_needed_and_must_fit():
    x, labels = batch()
    loss_fn = small_loss()
    unchanged(loss_fn, lambda: loss_fn(x), "labels")
    unchanged(loss_fn, lambda: loss_fn(x, labels[:-1]), "labels")
    references = torch.randn(5, SIZE)
    unchanged(
        loss_fn,
        lambda: loss_fn(x, labels, ref_emb=references, ref_labels=torch.arange(5)),
        "ref_emb",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"embedding_size": 0},
        {"num_proxies": 0},
        {"num_neighbors": 0},
        {"triplets_per_anchor": 0},
        {"temperature": 0},
        {"temperature": -1.0},
        {"temperature": math.nan},
        {"margin": -0.1},
        {"margin": math.nan},
    ],
)
def test_bad_arguments_are_refused_with_name_and_value(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=rf"{name}.*{value}"):
        HIERLoss(**{"embedding_size": SIZE, **arguments})


@pytest.mark.usefixtures("algorithm")
@pytest.mark.parametrize("kind", [HIERLoss, HIERRegularizer])
def test_anchors_are_their_own_negatives_if_asked_for(kind):
    # Everything is a neighbour of everything: only the anchors are left.
    x, labels = batch(6, 6)
    arguments = (x, labels) if kind is HIERLoss else (x,)
    for anchor_as_negative in (False, True):
        loss_fn = kind(SIZE, 6, num_neighbors=6, anchor_as_negative=anchor_as_negative, margin=9)
        loss = loss_fn(*arguments)
        loss.backward()
        assert (loss.item() > 0) == anchor_as_negative
        for part in loss_fn.sub_losses.values():
            assert (float(part) > 0) == anchor_as_negative


def test_anchor_as_negative_is_true_or_false():
    with pytest.raises(ValueError, match="HIERLoss needs anchor_as_negative True or False, got 1"):
        HIERLoss(SIZE, anchor_as_negative=1)


def test_ties_from_duplicate_samples_still_give_legal_triplets():
    # Two copies of each image tie exactly. topk may pick either, and the result must stay legal.
    x, labels = batch(6, 6)
    doubled, both = torch.cat([x, x]), torch.cat([labels, labels])
    relevance = torch.exp(-PoincareDistance()(doubled)) + (both.unsqueeze(1) == both)
    anchors, positives, negatives = reciprocal_neighbor_triplets(
        relevance, k=4, triplets_per_anchor=10
    )
    assert (anchors != positives).all()
    assert (anchors != negatives).all()
    loss = small_loss(num_neighbors=4)(doubled, both)
    loss.backward()
    assert torch.isfinite(x.grad).all()


# Dynamo itself looks at the gradient of intermediate tensors after a graph break.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_compiled_loss_is_the_loss():
    x, labels = batch()
    loss_fn = small_loss()
    compiled = torch.compile(loss_fn, backend="eager")
    results = []
    for call in (loss_fn, compiled):
        x.grad = loss_fn.proxies.grad = None
        torch.manual_seed(0)
        loss = call(x, labels)
        loss.backward()
        results.append((loss.detach(), x.grad, loss_fn.proxies.grad))
    for plain, same in zip(*results, strict=True):
        torch.testing.assert_close(same, plain)


@pytest.mark.usefixtures("algorithm")
def test_torch_func_gives_the_gradients_of_autograd():
    x, labels = batch()
    loss_fn = small_loss()

    def loss(x, parameters):
        torch.manual_seed(0)
        return torch.func.functional_call(loss_fn, parameters, (x, labels))

    parameters = dict(loss_fn.named_parameters())
    loss(x, parameters).backward()
    detached = {name: parameter.detach() for name, parameter in parameters.items()}
    to_x, to_parameters = torch.func.grad(loss, argnums=(0, 1))(x.detach(), detached)
    torch.testing.assert_close(to_x, x.grad)
    torch.testing.assert_close(to_parameters["proxies"], loss_fn.proxies.grad)


@pytest.mark.parametrize("kind", [HIERLoss, HIERRegularizer])
@pytest.mark.parametrize("distance", [None, LpDistance(power=2)])
def test_a_forward_pass_does_not_wait_for_a_gpu(kind, distance):
    x, labels = batch()
    arguments = (labels,) if kind is HIERLoss else ()
    waits = waits_of_a_forward_pass(lambda: kind(SIZE, PROXIES, distance=distance), x, *arguments)
    assert waits == []


@pytest.mark.usefixtures("as_on_accelerators")
@pytest.mark.parametrize("distance", [None, LpDistance(power=2)])
def test_neither_pass_reads_values_on_an_accelerator(distance):
    x, labels = batch()
    loss_fn = small_loss(distance=distance)
    with Waits() as waits:
        loss_fn(x, labels).backward()
    assert float(x.grad.abs().sum()) > 0
    assert waits.found == []


@pytest.mark.usefixtures("reduced_precision")
def test_products_are_in_full_float32_whatever_is_set():
    x, labels = batch()
    with ProductPrecisions() as products:
        small_loss()(x, labels).backward()
    assert products.all_full
