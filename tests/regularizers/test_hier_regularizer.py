"""HIERRegularizer: HIER without labels, for any PML loss."""

import math

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import reducers
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.losses import HIERLoss
from pml_hyperbolic.regularizers import HIERRegularizer

SIZE, PROXIES = 6, 16


def embeddings(n=20, dtype=torch.float32):
    x = torch.randn(n, SIZE, generator=torch.Generator().manual_seed(0))
    return x.to(dtype).requires_grad_()


def small(**options):
    return HIERRegularizer(
        SIZE, PROXIES, **{"num_neighbors": 6, "triplets_per_anchor": 10, **options}
    )


def test_defaults_are_the_losss():
    regularizer, loss_fn = HIERRegularizer(SIZE), HIERLoss(SIZE)
    for name in ("num_proxies", "temperature", "num_neighbors", "triplets_per_anchor"):
        assert getattr(regularizer, name) == getattr(loss_fn, name)
    assert regularizer.sub_loss_names() == ["data_loss", "proxy_loss"]


def test_regularizer_is_the_loss_with_every_class_its_own():
    # A sample of a class of its own is closest to itself only, which it is anyway.
    x = embeddings()
    regularizer, loss_fn = small(), HIERLoss(SIZE, PROXIES, num_neighbors=6, triplets_per_anchor=10)
    loss_fn.load_state_dict(regularizer.state_dict())
    torch.manual_seed(0)
    without_labels = regularizer(x)
    torch.manual_seed(0)
    assert torch.equal(without_labels, loss_fn(x, torch.arange(len(x))))


@pytest.mark.parametrize("distance", [None, LpDistance(power=2), PoincareDistance(c=1.0)])
def test_regularizer_trains_embeddings_and_proxies(distance):
    x, regularizer = embeddings(), small(distance=distance)
    loss = regularizer(x)
    loss.backward()
    assert loss.item() > 0
    assert float(x.grad.abs().sum()) > 0
    assert float(regularizer.proxies.grad.abs().sum()) > 0
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    "loss_fn_of",
    [
        lambda regularizer: pml_losses.MultiSimilarityLoss(
            embedding_regularizer=regularizer, embedding_reg_weight=0.5
        ),
        lambda regularizer: pml_losses.ProxyAnchorLoss(
            4, SIZE, embedding_regularizer=regularizer, embedding_reg_weight=0.5
        ),
    ],
)
def test_regularizer_fits_pmls_embedding_regularizer(loss_fn_of):
    x, labels = embeddings(), torch.arange(20) % 4
    regularizer = small()
    loss_fn = loss_fn_of(regularizer)
    assert "embedding_reg_loss" in loss_fn.sub_loss_names()
    assert any(p is regularizer.proxies for p in loss_fn.parameters())
    torch.manual_seed(0)
    total = loss_fn(x, labels)
    torch.manual_seed(0)
    part = 0.5 * regularizer(x)
    loss_fn.embedding_regularizer = None
    torch.testing.assert_close(total, loss_fn(x, labels) + part)
    total.backward()
    assert float(regularizer.proxies.grad.abs().sum()) > 0


REDUCED = {
    reducers.MeanReducer(): lambda losses: losses.mean(),
    reducers.AvgNonZeroReducer(): lambda losses: losses[losses > 0].mean(),
    reducers.SumReducer(): lambda losses: losses.sum(),
}


@pytest.mark.parametrize(
    ("reducer", "reduced"), REDUCED.items(), ids=[type(reducer).__name__ for reducer in REDUCED]
)
def test_reducers_reduce_the_data_loss_by_triplet(reducer, reduced):
    x, regularizer = embeddings(), small(reducer=reducers.DoNothingReducer())
    torch.manual_seed(0)
    parts = regularizer(x)
    regularizer.set_reducer(reducer)
    torch.manual_seed(0)
    loss = regularizer(x)
    expected = reduced(parts["data_loss"]["losses"]) + parts["proxy_loss"]["losses"]
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert torch.isfinite(x.grad).all()


def test_do_nothing_reducer_returns_the_parts():
    parts = small(reducer=reducers.DoNothingReducer())(embeddings())
    assert set(parts) == {"data_loss", "proxy_loss"}
    triplets = parts["data_loss"]["indices"]
    assert parts["data_loss"]["losses"].shape == triplets[0].shape
    assert parts["proxy_loss"]["losses"].shape == ()


@pytest.mark.parametrize("n", [0, 1, 2, 5])
@pytest.mark.parametrize("num_neighbors", [1, 2, 20])
def test_degenerate_batches_give_a_finite_loss_that_backpropagates(n, num_neighbors):
    x = embeddings(n)
    loss = small(num_neighbors=num_neighbors)(x)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("autocast", [False, True])
def test_parameters_keep_their_dtype(dtype, autocast):
    x, regularizer = embeddings(dtype=dtype), small()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = regularizer(x)
    loss.backward()
    assert regularizer.proxies.dtype == regularizer.proxies.grad.dtype == torch.float32
    assert torch.isfinite(x.grad).all()


def test_statistics_tell_saturation_and_each_sub_loss():
    regularizer = small(collect_stats=True)
    loss = regularizer(5 * torch.nn.functional.normalize(embeddings()))
    assert regularizer.embedding_saturation == 1.0
    beyond = regularizer.proxies.detach().norm(dim=1) >= regularizer.distance.clip_radius
    assert regularizer.proxy_saturation == pytest.approx(float(beyond.float().mean()))
    assert loss.item() == pytest.approx(regularizer.data_loss + regularizer.proxy_loss, rel=1e-6)


@pytest.mark.parametrize("distance", [CosineSimilarity(), PoincareSimilarity()])
def test_an_inverted_distance_is_refused_by_name(distance):
    with pytest.raises(ValueError, match=type(distance).__name__):
        small(distance=distance)


@pytest.mark.parametrize(
    ("x", "named"),
    [
        (torch.zeros(4, SIZE + 1), rf"{SIZE}.*{SIZE + 1}"),
        (torch.zeros(SIZE), f"{SIZE}"),
        (torch.full((4, SIZE), math.nan), "NaN or infinite"),
        (torch.full((4, SIZE), math.inf), "NaN or infinite"),
    ],
)
def test_bad_embeddings_are_refused_before_anything_changes(x, named):
    regularizer = small()
    before = regularizer.proxies.detach().clone()
    with pytest.raises(ValueError, match=named):
        regularizer(x)
    assert torch.equal(before, regularizer.proxies)
    assert regularizer.proxies.dtype == torch.float32
