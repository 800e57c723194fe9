"""HypLoss: the paper's loss for any number of views."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners, reducers
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from pytorch_metric_learning.regularizers import LpRegularizer

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.losses import HypLoss
from tests.devices import DEVICES
from tests.dispatch import Dispatched
from tests.product_precision import ProductPrecisions
from tests.references import hyp

SIZE = 5


def batch(views=3, classes=4, dtype=torch.float64, seed=0):
    """Rows in a random order of classes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(views * classes, SIZE, generator=generator, dtype=torch.float64)
    labels = (torch.arange(classes) * 7 + 3).repeat_interleave(views)
    labels = labels[torch.randperm(len(labels), generator=generator)]
    return x.to(dtype).requires_grad_(), labels


GEOMETRIES = {
    "ball": (PoincareDistance(), hyp.poincare_score(0.1, 2.3), 0.2),
    "curved ball": (PoincareDistance(1.0, 1.2), hyp.poincare_score(1.0, 1.2), 0.3),
    "raw similarity": (PoincareSimilarity(bounded=False), hyp.poincare_score(0.1, 2.3), 0.2),
    "sphere": (CosineSimilarity(), hyp.cosine_score, 0.1),
    "Euclidean": (
        LpDistance(normalize_embeddings=False),
        lambda x, y: -(x - y).square().sum().sqrt(),
        0.5,
    ),
}


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("views", [2, 3, 5])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_loss_and_gradient_are_those_of_the_loop(geometry, views):
    distance, score, temperature = GEOMETRIES[geometry]
    x, labels = batch(views)
    loss = HypLoss(temperature, distance=distance)(x, labels)
    expected = hyp.loss(x, labels.tolist(), score, temperature)
    close(loss, expected)
    close(torch.autograd.grad(loss, x)[0], torch.autograd.grad(expected, x)[0])


def test_loss_is_the_loop_at_the_papers_nine_views():
    x, labels = batch(9, 3)
    close(HypLoss()(x, labels), hyp.loss(x, labels.tolist(), hyp.poincare_score(0.1, 2.3), 0.2))


@given(views=st.integers(2, 4), classes=st.integers(1, 4), seed=st.integers(0, 99))
def test_loss_is_the_loop_for_any_batch(views, classes, seed):
    x, labels = batch(views, classes, seed=seed)
    loss = HypLoss(distance=CosineSimilarity())(x, labels)
    close(loss, hyp.loss(x, labels.tolist(), hyp.cosine_score, 0.2))


@pytest.mark.parametrize("distance", [PoincareDistance(), CosineSimilarity()])
def test_at_two_views_it_is_twice_the_mean_over_pairs(distance):
    x, labels = batch(2, 6)
    mean = pml_losses.NTXentLoss(temperature=0.2, distance=distance)(x, labels)
    close(HypLoss(distance=distance)(x, labels), 2 * mean)


def test_at_nine_views_it_is_another_loss_than_the_mean_over_pairs():
    x, labels = batch(9, 3)
    mean = pml_losses.NTXentLoss(temperature=0.2, distance=PoincareDistance())(x, labels)
    assert abs(float((HypLoss()(x, labels) / (9 * 8) - mean).detach())) > 0.1


def test_gradient_is_that_of_finite_differences():
    x, labels = batch(3, 3)
    assert torch.autograd.gradcheck(lambda x: HypLoss()(x, labels), x)


def test_defaults_are_the_papers():
    loss_fn = HypLoss()
    assert loss_fn.temperature == 0.2
    assert type(loss_fn.distance) is PoincareDistance
    assert (loss_fn.distance.c, loss_fn.distance.clip_radius) == (0.1, 2.3)
    assert list(loss_fn.parameters()) == []
    assert "temperature" in loss_fn._record_these


def test_order_of_classes_makes_no_difference_and_order_within_them_does():
    x, labels = batch(3, 4)
    x, loss_fn = x.detach(), HypLoss()
    grouped = torch.argsort(labels, stable=True)
    by_view = grouped.view(4, 3).T.flatten()
    for order in (grouped, by_view):
        close(loss_fn(x[order], labels[order]), loss_fn(x, labels))
    close(loss_fn(x, 100 - labels), loss_fn(x, labels))
    swapped = grouped.clone()
    swapped[:2] = swapped[:2].flip(0)
    assert abs(float(loss_fn(x[swapped], labels[grouped]) - loss_fn(x, labels))) > 1e-3


def test_reducers_get_a_loss_for_every_pair():
    x, labels = batch(3, 4)
    loss_fn = HypLoss(reducer=reducers.DoNothingReducer())
    part = loss_fn(x, labels)["loss"]
    expected = hyp.cross_entropies(x, labels.tolist(), hyp.poincare_score(0.1, 2.3), 0.2)
    pairs = list(zip(*(index.tolist() for index in part["indices"]), strict=True))
    assert sorted(pairs) == sorted(expected)
    close(part["losses"], 6 * torch.stack([expected[pair] for pair in pairs]))
    for reducer, reduced in (
        (reducers.MeanReducer(), part["losses"].mean()),
        (reducers.SumReducer(), part["losses"].sum()),
        (reducers.ThresholdReducer(low=9), part["losses"][part["losses"] > 9].mean()),
    ):
        loss_fn.set_reducer(reducer)
        close(loss_fn(x, labels), reduced)
    assert 0 < int((part["losses"] > 9).sum()) < len(part["losses"])


def test_it_combines_with_other_losses_and_a_regularizer():
    x, labels = batch()
    plain, regularized = HypLoss(), HypLoss(embedding_regularizer=LpRegularizer())
    close(regularized(x, labels), plain(x, labels) + x.norm(dim=1).mean())
    combined = pml_losses.MultipleLosses([plain, pml_losses.ContrastiveLoss()], weights=[1, 0.5])
    close(combined(x, labels), plain(x, labels) + 0.5 * pml_losses.ContrastiveLoss()(x, labels))


def test_one_class_has_no_loss_and_no_gradient():
    x, labels = batch(3, 1)
    loss = HypLoss()(x, labels)
    loss.backward()
    assert loss.item() == 0
    assert (x.grad == 0).all()


def test_coincident_points_give_finite_gradients():
    x = torch.full((12, SIZE), 0.3, requires_grad=True)
    loss = HypLoss()(x, torch.arange(12) % 4)
    loss.backward()
    assert loss.item() == pytest.approx(6 * math.log(7), rel=1e-6)
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("distance", [None, CosineSimilarity()])
@pytest.mark.parametrize("autocast", [False, True])
def test_it_computes_in_float32_at_least(dtype, distance, autocast, device):
    x, labels = batch(dtype=dtype)
    x = x.detach().to(device).requires_grad_()
    with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
        loss = HypLoss(distance=distance)(x, labels)
    loss.backward()
    assert loss.dtype == torch.promote_types(dtype, torch.float32)
    assert x.grad.dtype == dtype
    exact = HypLoss(distance=distance)(x.detach().double(), labels)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_regularizer_does_not_round_the_loss_of_half_embeddings(dtype):
    x, labels = batch(dtype=dtype)
    loss_fn = HypLoss(embedding_regularizer=LpRegularizer())
    loss = loss_fn(x, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(loss_fn(x.detach().double(), labels).item(), rel=1e-6)


@pytest.mark.usefixtures("reduced_precision")
def test_products_are_in_full_float32_whatever_is_set():
    x, labels = batch(dtype=torch.float32)
    with ProductPrecisions() as products:
        HypLoss()(x, labels).backward()
    assert products.all_full


def test_no_tensor_is_larger_than_the_matrix_of_distances_and_no_view_costs_operations():
    operations = set()
    for views in (2, 6):
        x, labels = batch(views, 60 // views, torch.float32)
        with Dispatched() as dispatched:
            HypLoss()(x, labels).backward()
        assert dispatched.largest == 60 * 60
        operations.add(dispatched.operations)
    assert len(operations) == 1


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ([0, 0, 0, 1, 1, 2], "1 to 3"),
        ([0, 1, 2, 3, 4, 5], "1 to 1"),
        ([0, 0, 1, 1, 2], "1 to 2"),
    ],
)
def test_classes_of_unequal_size_or_one_row_are_refused(labels, named):
    x = torch.randn(len(labels), SIZE)
    with pytest.raises(ValueError, match=f"same number of rows.*{named}.*MPerClassSampler"):
        HypLoss()(x, torch.tensor(labels))


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="same number of rows"):
        HypLoss()(torch.randn(0, SIZE), torch.empty(0, dtype=torch.long))


def test_labels_are_needed_and_miners_and_references_refused():
    x, labels = batch()
    with pytest.raises(ValueError, match="HypLoss needs labels"):
        HypLoss()(x)
    mined = miners.MultiSimilarityMiner()(x, labels)
    with pytest.raises(ValueError, match=r"neither a miner's output.*nor ref_emb"):
        HypLoss()(x, labels, mined)
    with pytest.raises(ValueError, match=r"neither a miner's output.*nor ref_emb"):
        HypLoss()(x, labels, ref_emb=x.detach() + 0, ref_labels=labels)


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf, "a"])
def test_a_bad_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match=f"HypLoss needs a finite temperature > 0.*{temperature}"):
        HypLoss(temperature)
