"""Neighbours, means and similarities against loops written here."""

import numpy as np
import pytest
import torch

from pml_hyperbolic.analysis.geometry import (
    class_distances,
    class_means,
    class_similarities,
    nearest_neighbors,
    origin_distances,
)
from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.functional import lca_depth, poincare_distance

BALL = PoincareDistance(c=0.7, clip_radius=1.5)
LABELS = np.array([2, 2, 5, 5, 5, 7, 2, 7])


@pytest.fixture
def rows():
    return torch.randn(8, 3, dtype=torch.float64)


def slow_similarity(x, y, distance):
    if distance is None:
        return float(x @ y / x.norm() / y.norm())
    return float(PoincareSimilarity(c=0.7, clip_radius=1.5)(x[None], y[None]))


@pytest.mark.parametrize("distance", [None, BALL])
def test_class_similarities_are_means_over_pairs_of_samples(rows, distance):
    classes, found = class_similarities(rows, LABELS, distance)
    assert classes.tolist() == [2, 5, 7]
    for a, b in np.ndindex(3, 3):
        pairs = [
            slow_similarity(rows[i], rows[j], distance)
            for i in np.flatnonzero(classes[a] == LABELS)
            for j in np.flatnonzero(classes[b] == LABELS)
            if i != j
        ]
        assert found[a, b] == pytest.approx(np.mean(pairs), abs=1e-7)


def test_a_class_of_one_sample_has_no_similarity_to_itself(rows):
    _, found = class_similarities(rows[:3], np.array([0, 0, 1]), None)
    assert np.isnan(found[1, 1])
    assert np.isfinite(found[[0, 0, 1], [0, 1, 0]]).all()


def test_the_mean_of_a_class_minimises_the_squared_lorentzian_distances(rows):
    _, means = class_means(rows, LABELS, BALL)
    own = BALL.to_ball(rows[LABELS == 5])

    def cost(point):
        distances = poincare_distance(own, point, c=BALL.c)
        return float((torch.cosh(BALL.c**0.5 * distances) - 1).sum())

    best = cost(means[1])
    for _ in range(50):
        assert cost(means[1] + 1e-3 * torch.randn(3, dtype=torch.float64)) > best


@pytest.mark.parametrize("norm", [1.0, 5.0])
def test_the_mean_of_two_points_is_in_the_middle_of_their_geodesic(norm):
    far = PoincareDistance(c=1.0, clip_radius=None)
    points = torch.eye(2, dtype=torch.float64) * norm
    _, means = class_means(points, np.array([0, 0]), far)
    depth = lca_depth(*far.to_ball(points), c=1.0)
    radius = poincare_distance(means[0], torch.zeros(2, dtype=torch.float64), c=1.0)
    torch.testing.assert_close(radius, depth)
    torch.testing.assert_close(means[0, 0], means[0, 1])


def test_the_mean_of_points_far_out_is_on_the_ball():
    far = PoincareDistance(c=1.0, clip_radius=None)
    rows = 15 * torch.nn.functional.normalize(torch.randn(40, 3, dtype=torch.float64))
    for labels in (np.arange(40), np.arange(40) // 2):
        _, means = class_means(rows, labels, far)
        assert (means.norm(dim=1) < 1).all()


def test_the_mean_for_cosine_is_the_normalised_sum_of_unit_vectors(rows):
    _, means = class_means(rows, LABELS, None)
    own = rows[LABELS == 7]
    total = (own / own.norm(dim=1, keepdim=True)).sum(0)
    torch.testing.assert_close(means[2], total / total.norm())


def test_class_distances_are_those_of_the_means(rows):
    classes, found = class_distances(rows, LABELS, BALL)
    _, means = class_means(rows, LABELS, BALL)
    expected = poincare_distance(means[0], means[2], c=BALL.c)
    assert found[0, 2] == pytest.approx(float(expected), rel=1e-6)
    assert (found == found.T).all()
    assert (np.diag(found) == 0).all()
    assert len(classes) == 3


@pytest.mark.parametrize("distance", [None, BALL])
def test_nearest_neighbors_against_sorting(rows, distance):
    found, indices = nearest_neighbors(rows, 4, distance)
    for i in range(8):
        values = np.array([slow_similarity(rows[i], rows[j], distance) for j in range(8)])
        values[i] = -np.inf
        assert indices[i].tolist() == np.argsort(-values)[:4].tolist()
    assert (np.diff(found, axis=1) >= 0).all()


def test_radii_are_distances_to_the_origin_or_norms(rows):
    expected = 2 * rows.norm(dim=1).clamp(max=1.5)
    np.testing.assert_allclose(origin_distances(rows, BALL), expected, rtol=1e-10)
    np.testing.assert_allclose(origin_distances(rows, None), rows.norm(dim=1), rtol=1e-12)


def test_numpy_arrays_and_half_precision_are_taken(rows):
    for other in (rows.numpy(), rows.half()):
        classes, _ = class_means(other, LABELS, BALL)
        assert len(classes) == 3


def bad_row(rows):
    rows = rows.clone()
    rows[3, 1] = float("nan")
    return rows


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rows: class_means(bad_row(rows), LABELS, BALL), "1 of the 8 embeddings contain"),
        (lambda rows: class_means(rows[0], LABELS, None), r"must have shape \(N, D\)"),
        (lambda rows: class_means(rows, LABELS[:3], None), r"labels must have shape \(8,\)"),
        (lambda rows: class_means(rows, LABELS / 2, None), "must be integers"),
        (lambda rows: nearest_neighbors(rows, 8, BALL), "between 1 and 7"),
        (
            lambda rows: nearest_neighbors(10 * rows, 2, PoincareDistance(inputs="ball")),
            "norm below",
        ),
    ],
)
def test_wrong_input_is_refused(rows, call, message):
    with pytest.raises(InputError, match=message):
        call(rows)


@pytest.mark.parametrize("distance", [None, BALL])
def test_nearest_neighbors_of_some_rows_and_in_a_gallery(rows, distance):
    query, gallery = np.array([5, 2]), np.array([7, 0, 2, 3])
    _, everywhere = nearest_neighbors(rows, 7, distance)
    _, indices = nearest_neighbors(rows, 7, distance, query=query)
    assert indices.tolist() == everywhere[query].tolist()
    _, near = nearest_neighbors(rows, 2, distance, query=query, gallery=gallery)
    # A query that is in the gallery finds itself.
    assert near[1, 0] == 2
    expected = [row for row in everywhere[5] if row in gallery][:2]
    assert near[0].tolist() == expected
    with pytest.raises(InputError, match="between 1 and 4"):
        nearest_neighbors(rows, 5, distance, query=query, gallery=gallery)


def test_coincident_rows_never_find_themselves():
    _, indices = nearest_neighbors(torch.ones(5, 3), 4, BALL, query=np.array([3, 1]))
    assert [sorted(row) for row in indices.tolist()] == [[0, 1, 2, 4], [0, 2, 3, 4]]
