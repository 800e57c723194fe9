"""Heads put features where hyperbolic losses expect them."""

import math

import pytest
import torch

from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.heads import HyperbolicEmbedder, TwoSpaceEmbedder
from pml_hyperbolic.losses import CHESTLoss


def features(n=400, size=48):
    return 3 + 5 * torch.randn(n, size)


def test_published_head_starts_with_every_point_clipped():
    embeddings = HyperbolicEmbedder(48, 16)(features()).detach()
    assert embeddings.shape == (400, 16)
    assert float(embeddings.norm(dim=1).mean()) == pytest.approx(4, rel=0.05)
    assert float(PoincareDistance().clip_saturation(embeddings)) == 1


@pytest.mark.parametrize(("inside", "outside"), [(48, 16), (48, 48), (16, 48)])
@pytest.mark.parametrize("radius", [0.5, 1.15])
def test_initial_radius_is_where_points_start(inside, outside, radius):
    head = HyperbolicEmbedder(inside, outside, initial_radius=radius)
    embeddings = head(features(size=inside)).detach()
    norms = embeddings.norm(dim=1)
    assert float(norms.square().mean().sqrt()) == pytest.approx(radius, rel=0.03)
    assert float(PoincareDistance().clip_saturation(embeddings)) == 0


def test_linear_is_orthogonal_with_zero_bias_and_the_norm_has_no_parameters():
    head = HyperbolicEmbedder(48, 16)
    weight, bias = list(head.parameters())
    torch.testing.assert_close(weight @ weight.T, torch.eye(16), rtol=0, atol=1e-5)
    assert (bias == 0).all()


def test_output_does_not_depend_on_the_scale_of_features():
    head = HyperbolicEmbedder(48, 16, initial_radius=1.0)
    x = features()
    torch.testing.assert_close(head(10 * x + 7), head(x), rtol=1e-3, atol=1e-4)


def test_two_space_embedder_puts_the_euclidean_part_first():
    embedder, x = TwoSpaceEmbedder(48, 10, 6, initial_radius=1.0), features(5)
    embeddings = embedder(x).detach()
    assert embeddings.shape == (5, 16)
    torch.testing.assert_close(embeddings[:, :10], embedder.euclidean(x))
    torch.testing.assert_close(embeddings[:, 10:], embedder.hyperbolic(x))
    assert float(embeddings[:, 10:].norm(dim=1).max()) < 2


def test_two_space_embedder_trains_with_chest():
    embedder, x = TwoSpaceEmbedder(48, 10, 6, initial_radius=1.0), features(12)
    CHESTLoss(4, 10, 6)(embedder(x), torch.arange(12) % 4).backward()
    for parameter in embedder.parameters():
        assert torch.isfinite(parameter.grad).all()
        assert float(parameter.grad.abs().sum()) > 0


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 4), "an integer in_features >= 1, got 0"),
        ((4, 0), "an integer embedding_size >= 1, got 0"),
        ((4, -1), "an integer embedding_size >= 1, got -1"),
        ((4, 2.0), r"an integer embedding_size >= 1, got 2\.0"),
    ],
)
def test_sizes_below_one_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        HyperbolicEmbedder(*sizes)


@pytest.mark.parametrize("sizes", [(0, 4, 4), (4, 0, 4), (4, 4, 0)])
def test_two_space_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match="0"):
        TwoSpaceEmbedder(*sizes)


@pytest.mark.parametrize("radius", [0, -1.0, math.nan, math.inf, "2", True])
def test_a_bad_initial_radius_is_refused(radius):
    with pytest.raises(ValueError, match=f"initial_radius.*{radius}"):
        HyperbolicEmbedder(8, 4, initial_radius=radius)


def test_without_layer_norm_it_is_the_linear_layer_alone():
    torch.manual_seed(0)
    head = HyperbolicEmbedder(12, 5, layer_norm=False)
    inputs = features(7, 12)
    weight, bias = head.parameters()
    assert torch.allclose(weight @ weight.T, torch.eye(5), atol=1e-5)
    assert torch.equal(bias, torch.zeros(5))
    assert torch.equal(head(inputs), torch.nn.functional.linear(inputs, weight, bias))
    # Weights of either kind have the same names.
    assert list(head.state_dict()) == list(HyperbolicEmbedder(12, 5).state_dict())
    two = TwoSpaceEmbedder(12, 5, 3, layer_norm=False)
    assert torch.allclose(two(3 * inputs), 3 * two(inputs), rtol=1e-4)


def test_a_radius_cannot_be_chosen_without_layer_norm():
    with pytest.raises(ValueError, match="leave one of initial_radius and layer_norm=False out"):
        HyperbolicEmbedder(12, 5, initial_radius=1.0, layer_norm=False)
