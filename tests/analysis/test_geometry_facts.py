"""GeometryFacts on embeddings whose geometry is known."""

import math

import pytest
import torch

from pml_hyperbolic.analysis.geometry_facts import geometry_facts
from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.functional.hyperbolicity import gromov_delta


def slow_agreement(embeddings, distance, k):
    """Sets of neighbors from full distance matrices."""
    geodesics = distance(embeddings)
    cosines = torch.nn.functional.cosine_similarity(embeddings[:, None], embeddings[None], dim=2)
    shares = []
    for i in range(len(embeddings)):
        others = [j for j in range(len(embeddings)) if j != i]
        near = sorted(others, key=lambda j: float(geodesics[i, j]))[:k]
        alike = sorted(others, key=lambda j: -float(cosines[i, j]))[:k]
        shares.append(len(set(near) & set(alike)) / k)
    return sum(shares) / len(shares)


def test_points_beyond_the_clip_radius_rank_as_by_cosine():
    distance = PoincareDistance(c=0.1, clip_radius=2.3)
    facts = geometry_facts(10 + torch.rand(40, 5), distance)
    assert facts.saturation == 1
    assert facts.mean_radius == pytest.approx(2.3, rel=1e-5)
    assert facts.radius_spread < 1e-5
    assert facts.cosine_agreement > 0.97


def test_free_radii_are_measured():
    distance = PoincareDistance(c=0.5, clip_radius=2.3)
    embeddings = torch.randn(60, 3)
    embeddings *= torch.linspace(0.1, 2, 60)[:, None] / embeddings.norm(dim=1, keepdim=True)
    facts = geometry_facts(embeddings, distance, neighbors=5)
    norms = torch.linspace(0.1, 2, 60)
    assert facts.saturation == 0
    assert facts.mean_radius == pytest.approx(float(norms.mean()), rel=1e-4)
    assert facts.radius_spread == pytest.approx(float(norms.std() / norms.mean()), rel=1e-4)
    assert facts.cosine_agreement == pytest.approx(slow_agreement(embeddings, distance, 5))


def test_delta_is_that_of_the_geodesic_distances():
    distance = PoincareDistance(c=1.0, clip_radius=None)
    embeddings = torch.randn(30, 2)
    facts = geometry_facts(embeddings, distance)
    geodesics = distance(embeddings[torch.randperm(30, generator=torch.Generator().manual_seed(0))])
    expected = float(2 * gromov_delta(geodesics.double()) / geodesics.amax())
    assert facts.relative_delta == pytest.approx(expected, rel=1e-5)
    assert facts.suggested_c == pytest.approx((0.144 / expected) ** 2, rel=1e-5)


def test_coincident_embeddings_suggest_no_curvature():
    facts = geometry_facts(torch.ones(6, 3), PoincareDistance())
    assert facts.relative_delta is None
    assert facts.suggested_c is None
    assert not math.isnan(facts.cosine_agreement)


def test_too_few_embeddings_are_refused():
    with pytest.raises(ValueError, match="at least four embeddings, got 3"):
        geometry_facts(torch.ones(3, 3), PoincareDistance())
