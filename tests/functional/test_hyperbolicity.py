"""Gromov's delta against loops and spaces whose delta is known."""

import pytest
import torch

from pml_hyperbolic.functional import gromov_delta, suggested_curvature


def delta_by_loops(distances, base):
    """Largest (A (x) A) - A, for Gromov products at ``base`` and the max-min product (x)."""
    d, n = distances.tolist(), len(distances)
    a = [[(d[base][i] + d[base][j] - d[i][j]) / 2 for j in range(n)] for i in range(n)]
    return max(
        max(min(a[i][k], a[k][j]) for k in range(n)) - a[i][j] for i in range(n) for j in range(n)
    )


def random_distances(n, seed=0):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.cdist(x, x)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 12])
def test_delta_agrees_with_loops(n):
    distances = random_distances(n)
    expected = delta_by_loops(distances, 0)
    assert float(gromov_delta(distances)) == pytest.approx(expected, abs=1e-12)


def test_delta_of_a_tree_is_zero():
    # Edge lengths 1, 2, 3, 4 at the centre of a star: d(i, j) = l_i + l_j.
    lengths = torch.tensor([1.0, 2.0, 3.0, 4.0])
    distances = (lengths.unsqueeze(1) + lengths).fill_diagonal_(0)
    assert float(gromov_delta(distances)) == 0


def test_delta_of_the_four_cycle_is_one():
    cycle = torch.tensor([[0, 1, 2, 1], [1, 0, 1, 2], [2, 1, 0, 1], [1, 2, 1, 0.0]])
    assert float(gromov_delta(cycle)) == 1


def test_delta_scales_with_the_distances():
    distances = random_distances(15)
    assert float(gromov_delta(3 * distances)) == pytest.approx(3 * float(gromov_delta(distances)))


@pytest.mark.parametrize("shape", [(3,), (3, 4), (0, 0)])
def test_delta_refuses_what_is_no_distance_matrix(shape):
    with pytest.raises(ValueError, match=rf"\({shape[0]}"):
        gromov_delta(torch.zeros(shape))


def test_suggested_curvature_is_khrulkovs_formula():
    x = torch.randn(12, 3, dtype=torch.float64)
    distances = torch.cdist(x, x)
    possible = [
        (0.144 / (2 * delta_by_loops(distances, base) / float(distances.max()))) ** 2
        for base in range(12)
    ]
    c, spread = suggested_curvature(x, num_samples=1)
    assert min(abs(c - p) for p in possible) < 1e-9 * c
    assert spread == 0


def test_suggested_curvature_does_not_depend_on_scale():
    x = torch.randn(60, 5, dtype=torch.float64)
    options = {"sample_size": 30, "num_samples": 3}
    results = [
        suggested_curvature(scale * x, generator=torch.Generator().manual_seed(0), **options)
        for scale in (1.0, 100.0)
    ]
    assert results[0] == pytest.approx(results[1], rel=1e-9)
    assert results[0][1] > 0


@pytest.mark.parametrize(
    ("features", "options"),
    [
        (torch.zeros(10, 3), {}),
        (torch.randn(3, 3), {}),
        (torch.randn(10), {}),
        (torch.randn(10, 3), {"sample_size": 2}),
        (torch.randn(10, 3), {"num_samples": 0}),
    ],
)
def test_suggested_curvature_refuses_what_suggests_none(features, options):
    with pytest.raises(ValueError, match="features"):
        suggested_curvature(features, **options)
