"""Hyperbolic k-means: clouds, fixed points and the centroid that minimises its cost."""

import pytest
import torch

from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.utils.lifted_points import LiftedPoints
from pml_hyperbolic.utils.poincare_kmeans import PoincareKMeans, lorentz_centroids
from tests.utils.search_cases import (
    brute_force,
    directions,
    mixed_radii,
    smoothly_clipped,
)


def blobs():
    """Three clouds of tangent vectors whose mean directions differ, and their labels."""
    centres = torch.tensor([[1.5, 0, 0], [0, 1.5, 0], [0, 0, 1.5]])
    return centres.repeat_interleave(40, 0) + 0.1 * torch.randn(120, 3), torch.arange(3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_kmeans_finds_clouds(dtype, backend):
    x, kinds = blobs()
    labels = PoincareKMeans(PoincareDistance())(x.to(dtype), 3)
    assert labels.dtype == torch.long
    assert labels.shape == (120,)
    assert all(len(labels[40 * kind : 40 * kind + 40].unique()) == 1 for kind in kinds)
    assert len(labels.unique()) == 3


def ball_of(distance):
    return PoincareDistance(c=distance.c, clip_radius=None, inputs="ball")


@pytest.mark.parametrize("case", [mixed_radii, smoothly_clipped])
def test_kmeans_is_a_fixed_point_and_deterministic(case):
    x, distance = case()
    kmeans = PoincareKMeans(distance, niter=100)
    labels = kmeans(x, 7)
    assert torch.equal(labels, kmeans(x, 7))
    points = LiftedPoints(x, distance)
    centroids = lorentz_centroids(points, labels, torch.zeros(400), 7)
    points = distance.to_ball(x)
    assert torch.equal(brute_force(points, centroids, ball_of(distance)).argmin(1), labels)


def test_centroid_minimises_squared_lorentzian_distance():
    x, distance = mixed_radii()
    points = LiftedPoints(x[:30], distance)
    labels = torch.zeros(30, dtype=torch.long)
    centroid = lorentz_centroids(points, labels, torch.zeros(30), 1)

    def cost(candidate):
        return (torch.cosh(brute_force(candidate, x[:30], distance)) - 1).sum(1)

    nearby = centroid + 1e-3 * directions(200, 32)
    assert bool((cost(nearby) > cost(centroid)).all())


def test_more_runs_never_cost_more():
    x, distance = mixed_radii()
    costs = []
    for nredo in (1, 4):
        labels = PoincareKMeans(distance, nredo=nredo)(x, 20)
        points = LiftedPoints(x, distance)
        centroids = lorentz_centroids(points, labels, torch.zeros(400), 20)
        costs.append((torch.cosh(brute_force(x, centroids, distance)).amin(1) - 1).sum())
    assert costs[1] <= costs[0] * (1 + 1e-3)


@pytest.mark.parametrize("count", [1, 40, 100])
def test_as_many_clusters_as_asked_for(count):
    x = torch.randn(100, 5)
    labels = PoincareKMeans(PoincareDistance())(x, count)
    assert labels.unique().tolist() == list(range(count))


def test_duplicates_leave_clusters_empty_but_labels_valid():
    labels = PoincareKMeans(PoincareDistance())(torch.ones(30, 3), 4)
    assert labels.unique().tolist() == [0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: PoincareKMeans(PoincareDistance())(x, 41), "nmb_clusters must be at most"),
        (lambda x: PoincareKMeans(PoincareDistance())(x, 0), "needs an integer nmb_clusters >= 1"),
        (lambda x: PoincareKMeans(PoincareDistance())(x, True), "nmb_clusters .* got True"),
        (lambda x: PoincareKMeans(PoincareDistance(), niter=0), "niter"),
        (lambda x: PoincareKMeans(PoincareDistance(), nredo=1.0), "nredo"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.randn(40, 4))
