"""Every space is ranked in its own geometry."""

import pytest
import torch

from pml_hyperbolic.benchmark.assembly.evaluation import (
    clip_saturation,
    make_tester,
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
