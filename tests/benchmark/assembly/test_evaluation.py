"""Every space is ranked in its own geometry."""

import pytest
import torch

from pml_hyperbolic.benchmark.assembly.evaluation import (
    clip_saturation,
    make_tester,
    radius_histogram,
    select_space,
    space_metrics,
)
from pml_hyperbolic.benchmark.config import EvaluationConfig
from pml_hyperbolic.distances import PoincareDistance

CPU = torch.device("cpu")


def nearest_accuracy(similarity, labels):
    """R@1 by brute force."""
    similarity = similarity.clone().fill_diagonal_(-torch.inf)
    return (labels[similarity.argmax(1)] == labels).double().mean().item()


def scored(sizes, points, labels, distance=None, **evaluation):
    found = {}

    def hook(tester):
        found["saturation"] = clip_saturation(tester, "test")

    tester = make_tester(
        sizes, distance, EvaluationConfig(**evaluation), device=CPU, end_of_testing_hook=hook
    )
    data = torch.utils.data.TensorDataset(points, labels)
    tester.test({"test": data}, 1, torch.nn.Identity())
    return space_metrics(tester, "test"), found["saturation"]


@pytest.mark.parametrize(
    ("distance", "radius", "end"),
    [
        (PoincareDistance(), 1.5, 2.3),
        (PoincareDistance(), 2.3, 2.3),
        (PoincareDistance(c=0.5, clip_radius=None), 1.5, 2.0),
        # The tangent norm of the point, which is half its geodesic distance to the origin.
        (PoincareDistance(c=0.5, inputs="ball"), 1.5, 2.0),
    ],
    ids=["tangent", "clipped", "unclipped", "ball"],
)
def test_radii_are_tangent_norms(distance, radius, end):
    points = torch.nn.functional.normalize(torch.randn(8, 3))
    if distance.inputs == "ball":
        points = points * torch.tanh(torch.tensor(distance.c**0.5 * radius)) / distance.c**0.5
        half = distance(points, torch.zeros(1, 3)) / 2
        assert torch.allclose(half, torch.tensor(radius))
    else:
        points = points * (radius if radius < 2.3 else 7)
    found = {}

    def hook(tester):
        found["histogram"] = radius_histogram(tester, "test")

    tester = make_tester(
        {"euclidean": 2, "hyperbolic": 3},
        distance,
        EvaluationConfig(),
        device=CPU,
        end_of_testing_hook=hook,
    )
    data = torch.utils.data.TensorDataset(
        torch.cat([torch.randn(8, 2), points], 1), torch.arange(8) % 2
    )
    tester.test({"test": data}, 1, torch.nn.Identity())
    histogram = found["histogram"]
    assert histogram.end == end
    # The radius lies next to an edge of the bins at worst.
    (low, high) = (round(60 * (radius + shift) / end) for shift in (-0.05, 0.05))
    assert sum(histogram.counts[low:high]) == 8


def test_geometries_and_columns():
    labels = torch.arange(60) % 6
    points = torch.randn(6, 10)[labels] + 1.2 * torch.randn(60, 10)
    distance = PoincareDistance(c=0.8, clip_radius=3.0)
    sizes = {"euclidean": 4, "hyperbolic": 6}
    scores, saturation = scored(sizes, points, labels, distance, recall_at=[1, 3])
    flat = torch.nn.functional.normalize(points[:, :4])
    right = {
        "euclidean": nearest_accuracy(flat @ flat.T, labels),
        "hyperbolic": nearest_accuracy(-distance(points[:, 4:]), labels),
    }
    wrong = nearest_accuracy(-torch.cdist(points[:, 4:], points[:, 4:]), labels)
    assert len({*right.values(), wrong}) == 3
    for space, value in right.items():
        assert scores[space]["precision_at_1"] == pytest.approx(value)
        assert scores[space]["recall_at_1"] == pytest.approx(value)
        assert scores[space]["recall_at_3"] > value
        assert all(type(value) is float for value in scores[space].values())
    assert saturation == pytest.approx((points[:, 4:].norm(dim=1) >= 3).float().mean().item())
    assert 0 < saturation < 1


def test_no_saturation_without_a_hyperbolic_space():
    labels = torch.arange(8) % 2
    scores, saturation = scored({"euclidean": 3}, torch.randn(8, 3), labels)
    assert saturation is None
    assert set(scores["euclidean"]) == {
        "precision_at_1",
        "r_precision",
        "mean_average_precision_at_r",
    }


@pytest.mark.parametrize(
    ("spaces", "chosen"),
    [
        (["euclidean"], "euclidean"),
        (["hyperbolic"], "hyperbolic"),
        (["euclidean", "hyperbolic"], "hyperbolic"),
    ],
)
def test_the_hyperbolic_space_selects(spaces, chosen):
    assert select_space(dict.fromkeys(spaces, 2)) == chosen


def test_a_hyperbolic_space_needs_a_distance():
    with pytest.raises(ValueError, match="needs the PoincareDistance to rank with"):
        make_tester({"hyperbolic": 3}, None, EvaluationConfig(), device=CPU)
