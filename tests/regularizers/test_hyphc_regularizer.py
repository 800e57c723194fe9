"""HypHCRegularizer: hierarchical clustering of tangent vectors."""

import math

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning.distances import LpDistance

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.regularizers import HypHCRegularizer
from tests.references import chest, hier, hyphc
from tests.waiting import Waits, waits_of_a_forward_pass


def vectors(n=12, dim=4, dtype=torch.float64):
    x = 2 * torch.randn(n, dim, generator=torch.Generator().manual_seed(0))
    return x.to(dtype).requires_grad_()


def tangent_similarity(x):
    return [[(1 + float(chest.cosine(p, q))) / 2 for q in x.detach()] for p in x.detach()]


THREE = torch.tensor([[0], [1], [2]])


@pytest.mark.parametrize("c", [0.1, 1.0])
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_three_points_give_the_reference_loss_and_gradient(c, temperature):
    # Three points have one triplet, and the loss does not depend on its order: nothing is random.
    x = vectors(3).detach()
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    regularizer = HypHCRegularizer(temperature=temperature, distance=PoincareDistance(c=c))
    loss = regularizer(ours)
    expected = hyphc.hyphc_loss(
        hier.to_ball(theirs, c, 2.3), tangent_similarity(x), THREE, c, temperature
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)


def test_a_smooth_clip_is_that_of_the_distance():
    x = vectors(3)
    distance = PoincareDistance(c=0.5, clip="smooth")
    loss = HypHCRegularizer(temperature=0.5, distance=distance)(x)
    similarity = tangent_similarity(x)
    expected = hyphc.hyphc_loss(distance.to_ball(x), similarity, THREE, 0.5, 0.5)
    torch.testing.assert_close(loss, expected)
    gradients = [torch.autograd.grad(value, x)[0] for value in (loss, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_riemannian_gradient_of_the_distance_is_applied(dtype):
    x = vectors(3, dtype=dtype).detach()
    gradients = []
    for riemannian_gradient in (False, True):
        leaf = x.clone().requires_grad_()
        distance = PoincareDistance(c=0.5, riemannian_gradient=riemannian_gradient)
        HypHCRegularizer(temperature=0.5, distance=distance)(leaf).backward()
        gradients.append(leaf.grad)
    factor = (1 - 0.5 * hier.to_ball(x.double(), 0.5, 2.3).square().sum(1, keepdim=True)) ** 2 / 4
    torch.testing.assert_close(gradients[1], (factor * gradients[0]).to(dtype))
    assert float(gradients[1].norm()) > 0


def test_loss_is_the_mean_over_uniform_triplets_of_distinct_points():
    x = vectors(7)
    every = torch.combinations(torch.arange(7), 3).T
    points, similarity = hier.to_ball(x.detach(), 0.1, 2.3), tangent_similarity(x)
    single = torch.tensor(
        [
            float(hyphc.hyphc_loss(points, similarity, triplet.unsqueeze(1), 0.1, 0.05))
            for triplet in every.T
        ],
        dtype=torch.float64,
    )
    draws = 100_000
    loss = HypHCRegularizer(num_triplets=draws)(x)
    spread = float(single.std(correction=0)) / math.sqrt(draws)
    assert abs(loss.item() - float(single.mean())) <= 4 * spread


def test_triplets_are_distinct_uniform_and_drawn_anew():
    asked = []

    def similarity(i, j):
        asked.append((i, j))
        return torch.ones(len(i), dtype=torch.float64)

    regularizer = HypHCRegularizer(num_triplets=30_000, similarity=similarity)
    x = vectors(5)
    regularizer(x)
    regularizer(x)
    assert len(asked) == 6
    for i, j in asked:
        assert len(i) == 30_000
        assert (i != j).all()
        counts = torch.bincount(i * 5 + j, minlength=25).double()
        counts = counts[counts > 0]
        assert len(counts) == 20
        chi_square = float(((counts - 1500) ** 2 / 1500).sum())
        assert chi_square < 43.8  # 0.999 quantile with 19 degrees of freedom
    assert not torch.equal(asked[0][0], asked[3][0])


def test_a_given_similarity_gets_the_points_own_indices():
    x = vectors(3)
    table = torch.tensor([[1, 0.9, 0.1], [0.9, 1, 0.2], [0.1, 0.2, 1]], dtype=torch.float64)
    regularizer = HypHCRegularizer(similarity=lambda i, j: table[i, j])
    expected = hyphc.hyphc_loss(
        hier.to_ball(x.detach(), 0.1, 2.3), table.tolist(), THREE, 0.1, 0.05
    )
    assert regularizer(x).item() == pytest.approx(expected.item(), rel=1e-9)


def test_similarity_gets_no_gradient_by_default():
    # Far beyond the clip radius lengths change nothing, so the gradient is purely tangential.
    x = (10 * vectors()).detach().requires_grad_()
    HypHCRegularizer()(x).backward()
    assert float(x.grad.abs().sum()) > 0
    radial = (x.grad * x.detach()).sum(1) / x.detach().norm(dim=1)
    assert float(radial.abs().max()) < 1e-12


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_points_give_a_zero_that_backpropagates(n):
    x = vectors(n)
    loss = HypHCRegularizer()(x)
    loss.backward()
    assert loss.item() == 0
    assert (x.grad == 0).all()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("autocast", [False, True])
def test_awkward_points_give_finite_gradients(dtype, autocast):
    rows = [[0, 0], [0, 0], [2.3, 0], [2.3, 0], [-2.3, 0], [1, 0], [50, 50], [1e-6, 0]]
    x = torch.tensor(rows).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = HypHCRegularizer()(x)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()


def test_regularizer_fits_pmls_weight_regularizer():
    loss_fn = pml_losses.ProxyAnchorLoss(
        10, 4, distance=PoincareDistance(), weight_regularizer=HypHCRegularizer()
    )
    x, labels = vectors(dtype=torch.float32), torch.arange(12) % 10
    assert "weight_reg_loss" in loss_fn.sub_loss_names()
    torch.manual_seed(0)
    total = loss_fn(x, labels)
    torch.manual_seed(0)
    part = loss_fn.weight_regularizer(loss_fn.proxies)
    assert part.item() > 0
    loss_fn.weight_regularizer = None
    torch.testing.assert_close(total, loss_fn(x, labels) + part)
    part.backward()
    assert float(loss_fn.proxies.grad.abs().sum()) > 0


def test_training_pulls_similar_points_to_deep_ancestors():
    # Two groups given by the similarity alone: in the end an ancestor within is deeper.
    groups = torch.tensor([0, 0, 0, 1, 1, 1])
    regularizer = HypHCRegularizer(
        num_triplets=200, similarity=lambda i, j: (groups[i] == groups[j]).double()
    )
    x = (0.3 * vectors(6)).detach().requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.05)
    history = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = regularizer(x)
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.2 * history[0]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"temperature": 0}, "temperature.*0"),
        ({"temperature": math.nan}, "temperature.*nan"),
        ({"num_triplets": 0}, "num_triplets.*0"),
        ({"distance": LpDistance()}, "LpDistance"),
    ],
)
def test_bad_arguments_are_refused_with_what_was_given(arguments, named):
    with pytest.raises(ValueError, match=named):
        HypHCRegularizer(**arguments)


@pytest.mark.parametrize("x", [torch.zeros(4), torch.full((4, 3), math.nan)])
def test_bad_points_are_refused(x):
    with pytest.raises(ValueError, match=r"2D|NaN or infinite"):
        HypHCRegularizer()(x)


def test_a_similarity_shares_the_geometry_of_its_distance():
    x = vectors(3)
    by_distance = HypHCRegularizer(distance=PoincareDistance(c=0.5, clip_radius=1.0))(x)
    by_similarity = HypHCRegularizer(distance=PoincareSimilarity(c=0.5, clip_radius=1.0))(x)
    assert torch.equal(by_distance, by_similarity)


def test_a_similarity_that_cannot_be_called_is_refused():
    with pytest.raises(ValueError, match="callable similarity"):
        HypHCRegularizer(similarity=3)


def test_bad_vectors_are_counted_among_those_given():
    vectors = torch.randn(20, 4)
    vectors[7] = torch.nan
    with pytest.raises(ValueError, match="1 of 20 embeddings"):
        HypHCRegularizer()(vectors)


@pytest.mark.parametrize("inputs", ["tangent", "ball"])
def test_torch_func_gives_the_gradient_of_autograd(inputs):
    x = (0.1 * vectors()).detach().requires_grad_()
    regularizer = HypHCRegularizer(num_triplets=50, distance=PoincareDistance(inputs=inputs))

    def loss(x):
        torch.manual_seed(0)
        return regularizer(x)

    (expected,) = torch.autograd.grad(loss(x), x)
    torch.testing.assert_close(torch.func.grad(loss)(x.detach()), expected)


# Dynamo itself looks at the gradient of intermediate tensors after a graph break.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_compiled_regularizer_is_the_regularizer():
    x = vectors()
    regularizer = HypHCRegularizer(num_triplets=50)
    results = []
    for call in (regularizer, torch.compile(regularizer, backend="eager")):
        torch.manual_seed(0)
        loss = call(x)
        results.append((loss.detach(), *torch.autograd.grad(loss, x)))
    for plain, same in zip(*results, strict=True):
        torch.testing.assert_close(same, plain)


@pytest.mark.parametrize("inputs", ["tangent", "ball"])
def test_a_forward_pass_does_not_wait_for_a_gpu(inputs):
    def make():
        return HypHCRegularizer(distance=PoincareDistance(inputs=inputs))

    assert waits_of_a_forward_pass(make, vectors()) == []


@pytest.mark.usefixtures("as_on_accelerators")
@pytest.mark.parametrize("inputs", ["tangent", "ball"])
def test_neither_pass_reads_values_on_an_accelerator(inputs):
    x = (0.1 * vectors()).detach().requires_grad_()
    regularizer = HypHCRegularizer(distance=PoincareDistance(inputs=inputs))
    with Waits() as waits:
        regularizer(x).backward()
    assert waits.found == []
