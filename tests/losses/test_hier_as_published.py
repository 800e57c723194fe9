"""HIER through the distance, as its authors train it, against their formulas."""

import pytest
import torch

from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.functional import hierarchical_triplet_loss
from pml_hyperbolic.losses import HIERLoss
from tests.references import hier_as_published

DEFAULTS = {"c": 0.1, "clip_radius": 2.3, "margin": 0.1, "temperature": 0.1}


def random_case(seed, rows=40, proxies=24, size=16, triplets=600):
    """Vectors, triplets and Gumbel noise at random; about half of the vectors are clipped."""
    generator = torch.Generator().manual_seed(seed)
    case = dict(DEFAULTS)
    for name, count in (("embeddings", rows), ("proxies", proxies)):
        v = torch.randn(count, size, generator=generator, dtype=torch.float64)
        lengths = 4.6 * torch.rand(count, 1, generator=generator, dtype=torch.float64)
        case[name] = v / v.norm(dim=1, keepdim=True) * lengths
    for part, count in (("data", rows), ("proxy", proxies)):
        case[f"triplets_{part}"] = torch.randint(count, (3, triplets), generator=generator)
        for which in ("ij", "ijk"):
            uniform = torch.rand(triplets, proxies, generator=generator, dtype=torch.float64)
            case[f"noise_{part}_{which}"] = -torch.log(-torch.log(uniform))
    return case


def our_losses(case, embeddings, proxies):
    distance = PoincareDistance(case["c"], case["clip_radius"], riemannian_gradient=True)
    settings = {name: case[name] for name in ("margin", "temperature")}
    return [
        hierarchical_triplet_loss(
            measured,
            case[f"triplets_{part}"],
            gumbel_noise=(case[f"noise_{part}_ij"], case[f"noise_{part}_ijk"]),
            **settings,
        )
        for part, measured in (
            ("data", distance(embeddings, proxies)),
            ("proxy", distance(proxies)),
        )
    ]


def differences(case, **options):
    """The largest relative difference of the two losses, and of the two gradients."""
    results = []
    for compute in (our_losses, lambda *args: hier_as_published.losses(*args, **options)):
        leaves = [case[name].clone().requires_grad_() for name in ("embeddings", "proxies")]
        parts = compute(case, *leaves)
        sum(parts).backward()
        results.append(([part.detach() for part in parts], [leaf.grad for leaf in leaves]))
    (losses, gradients), (their_losses, their_gradients) = results
    return tuple(
        max(float((a - b).norm() / b.norm()) for a, b in zip(ours, theirs, strict=True))
        for ours, theirs in ((losses, their_losses), (gradients, their_gradients))
    )


@pytest.mark.parametrize("seed", range(6))
def test_without_the_small_numbers_losses_and_gradients_are_ours(seed):
    loss, gradient = differences(random_case(seed), small=0)
    assert loss <= 1e-9
    assert gradient <= 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_with_them_losses_differ_little_and_gradients_more(seed):
    loss, gradient = differences(random_case(seed))
    assert 1e-8 < loss <= 1e-4
    assert 1e-6 < gradient <= 0.1


def test_the_reference_is_what_was_recorded(golden):
    leaves = [golden[name].clone().requires_grad_() for name in ("embeddings", "proxies")]
    parts = hier_as_published.losses(golden, *leaves)
    sum(parts).backward()
    for part, name in zip(parts, ("loss_data", "loss_proxy"), strict=True):
        assert part.item() == pytest.approx(golden[name], rel=1e-5)
    for leaf, name in zip(leaves, ("grad_embeddings", "grad_proxies"), strict=True):
        assert float((leaf.grad - golden[name]).norm() / golden[name].norm()) <= 3e-4


def test_the_recorded_cases_agree_with_ours(golden):
    leaves = [golden[name].clone().requires_grad_() for name in ("embeddings", "proxies")]
    sum(our_losses(golden, *leaves)).backward()
    for leaf, name in zip(leaves, ("grad_embeddings", "grad_proxies"), strict=True):
        assert float((leaf.grad - golden[name]).norm() / golden[name].norm()) <= 1e-3


@pytest.mark.parametrize("anchor_as_negative", [False, True])
def test_the_loss_trains_with_what_the_authors_code_does(anchor_as_negative):
    x = torch.randn(24, 8, requires_grad=True)
    gradients = []
    for riemannian_gradient in (False, True):
        torch.manual_seed(0)
        loss_fn = HIERLoss(
            8,
            24,
            num_neighbors=6,
            anchor_as_negative=anchor_as_negative,
            distance=PoincareDistance(riemannian_gradient=riemannian_gradient),
        )
        (gradient,) = torch.autograd.grad(loss_fn(x, torch.arange(24) % 8), x)
        gradients.append(gradient)
    plain, riemannian = gradients
    points = PoincareDistance().to_ball(x.detach())
    factor = (1 - 0.1 * points.square().sum(1, keepdim=True)) ** 2 / 4
    torch.testing.assert_close(riemannian, factor * plain)
