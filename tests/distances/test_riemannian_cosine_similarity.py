"""RiemannianCosineSimilarity: cosine's values, and its gradient in the ball's inverse metric."""

import math

import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import MultiSimilarityLoss, ProxyAnchorLoss

from pml_hyperbolic.distances import (
    PoincareDistance,
    PoincareSimilarity,
    RiemannianCosineSimilarity,
)

C, RADIUS = 0.3, 1.5


def similarity():
    return RiemannianCosineSimilarity(
        PoincareDistance(c=C, clip_radius=RADIUS, riemannian_gradient=True)
    )


def tangents(n=12, dim=5):
    vectors = torch.randn(n, dim, dtype=torch.float64)
    # Norms on both sides of the clip radius.
    return (vectors * torch.linspace(0.2, 3, n, dtype=torch.float64)[:, None]).requires_grad_()


def inverse_metric(vectors):
    norms = vectors.detach().norm(dim=1).clamp(max=RADIUS)
    on_ball = torch.tanh(math.sqrt(C) * norms) / math.sqrt(C)
    return ((1 - C * on_ball**2) ** 2 / 4)[:, None]


def test_values_are_those_of_cosine_similarity():
    x, y = tangents(), tangents(7)
    for arguments in ((x, y), (x,), (x, x)):
        torch.testing.assert_close(
            similarity()(*arguments), CosineSimilarity()(*arguments), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("loss", [ProxyAnchorLoss, MultiSimilarityLoss])
def test_the_gradient_of_embeddings_is_scaled_and_that_of_proxies_is_not(loss):
    labels = torch.arange(12) % 3
    size = {"num_classes": 3, "embedding_size": 5} if loss is ProxyAnchorLoss else {}
    plain, ours = loss(**size), loss(**size, distance=similarity())
    ours.load_state_dict(plain.double().state_dict())
    x = tangents()
    values, gradients, proxies = [], [], []
    for function in (plain, ours.double()):
        value = function(x, labels)
        found = torch.autograd.grad(value, [x, *function.parameters()])
        values.append(value)
        gradients.append(found[0])
        proxies.append(found[1:])
    torch.testing.assert_close(*values)
    torch.testing.assert_close(gradients[1], inverse_metric(x) * gradients[0])
    for a, b in zip(*proxies, strict=True):
        torch.testing.assert_close(a, b)


def test_half_precision_is_computed_in_single():
    x, proxies = tangents().detach().half(), torch.randn(3, 5)
    found = similarity()(x, proxies)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, CosineSimilarity()(x.float(), proxies), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "distance", [None, CosineSimilarity(), PoincareDistance(), PoincareSimilarity()]
)
def test_a_distance_that_scales_no_gradient_is_refused(distance):
    with pytest.raises(ValueError, match="needs a PoincareDistance with riemannian_gradient=True"):
        RiemannianCosineSimilarity(distance)


@pytest.mark.parametrize("argument", ["normalize_embeddings", "p", "is_inverted"])
def test_what_a_cosine_determines_is_refused(argument):
    distance = PoincareDistance(riemannian_gradient=True)
    with pytest.raises(ValueError, match=f"takes no {argument}=.*leave it out"):
        RiemannianCosineSimilarity(distance, **{argument: True})
