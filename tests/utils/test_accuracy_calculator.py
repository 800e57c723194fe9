"""Hyperbolic metrics against loops over queries; labels, dtypes and names of metrics."""

import logging

import numpy as np
import pytest
import torch
from pytorch_metric_learning.utils import common_functions as c_f
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN

from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.functional import poincare_cdist
from pml_hyperbolic.utils import HyperbolicAccuracyCalculator
from tests.utils.slow_metrics import CPU, data, slow_metrics

RANKING = ("precision_at_1", "r_precision", "mean_average_precision_at_r", "recall_at_1")


def geodesics(x, y, distance):
    return poincare_cdist(distance.to_ball(x.double()), distance.to_ball(y.double()), c=distance.c)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_equals_loops(dtype, backend):
    x, labels = data()
    x, distance = x.to(dtype), PoincareDistance()
    calculator = HyperbolicAccuracyCalculator(distance, recall_at=(1, 3, 40), device=CPU)
    scores = calculator.get_accuracy(x, labels)
    expected = slow_metrics(geodesics(x, x, distance), labels, (1, 3, 40))
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, abs=1e-9), name
    assert scores["recall_at_1"] == pytest.approx(scores["precision_at_1"])
    assert {"NMI", "AMI"} <= set(scores)


def test_separate_references(backend):
    x, labels = data()
    distance = PoincareDistance()
    scores = HyperbolicAccuracyCalculator(distance, recall_at=(2,), device=CPU).get_accuracy(
        x[:40], labels[:40], x[40:], labels[40:]
    )
    own = slow_metrics(geodesics(x[:40], x[40:], distance), labels[:40], (2,), own=labels[40:])
    for name, value in own.items():
        assert scores[name] == pytest.approx(value, abs=1e-9), name


def test_geometry_matters():
    """Ball points ranked by PML's L2 score differently: our calculator is not a no-op."""
    torch.manual_seed(1)
    distance = PoincareDistance(c=1.0, clip_radius=None, inputs="ball")
    x = torch.nn.functional.normalize(torch.randn(200, 3)) * torch.rand(200, 1) * 0.99
    labels = torch.arange(200) % 20
    ours = HyperbolicAccuracyCalculator(distance, include=RANKING, device=CPU)
    theirs = AccuracyCalculator(
        include=RANKING[:3], k="max_bin_count", device=CPU, knn_func=CustomKNN(PoincareDistance())
    )
    name = "mean_average_precision_at_r"
    assert ours.get_accuracy(x, labels)[name] != theirs.get_accuracy(x, labels)[name]


@pytest.mark.parametrize("offset", [0, 2**24, 2**60])
def test_large_labels_stay_distinct(offset):
    x, labels = data()
    calculator = HyperbolicAccuracyCalculator(PoincareDistance(), include=RANKING, device=CPU)
    assert calculator.get_accuracy(x, labels + offset) == calculator.get_accuracy(x, labels)


def test_float64_points_are_not_rounded_onto_the_boundary():
    distance = PoincareDistance(c=1.0, clip_radius=None, inputs="ball")
    x = torch.nn.functional.normalize(torch.randn(60, 3, dtype=torch.float64)) * (1 - 1e-10)
    labels = torch.arange(60) % 5
    calculator = HyperbolicAccuracyCalculator(distance, device=CPU)
    assert 0 <= calculator.get_accuracy(x, labels)["recall_at_1"] <= 1
    assert calculator.get_accuracy(x.numpy(), labels.numpy())["AMI"] <= 1


@pytest.mark.parametrize("given", ["avg_of_avgs", "return_per_class"])
def test_recall_averages_as_precision_does(given):
    x, labels = data(count=50)
    labels[0] = 99  # a lone query
    calculator = HyperbolicAccuracyCalculator(PoincareDistance(), device=CPU, **{given: True})
    scores = calculator.get_accuracy(x, labels)
    assert scores["recall_at_1"] == pytest.approx(scores["precision_at_1"])


@pytest.mark.parametrize("which", ["query", "reference"])
def test_embeddings_that_diverged_are_named(which):
    x = {"query": torch.randn(8, 3), "reference": torch.randn(8, 3)}
    x[which][2, 1] = float("nan")
    labels = torch.arange(8) // 2
    with pytest.raises(ValueError, match=r"HyperbolicAccuracyCalculator got NaN .* in 1 of 8"):
        HyperbolicAccuracyCalculator(PoincareDistance()).get_accuracy(
            x["query"], labels, x["reference"], labels
        )


def test_all_queries_lone():
    x = torch.randn(8, 3)
    scores = HyperbolicAccuracyCalculator(PoincareDistance(), device=CPU).get_accuracy(
        x, torch.arange(8)
    )
    assert np.isnan(scores["recall_at_8"])


def test_wide_recall_leaves_the_other_metrics_alone():
    x, labels = data()
    include = ("mean_average_precision", "mean_reciprocal_rank")
    scores = [
        HyperbolicAccuracyCalculator(
            PoincareDistance(), recall_at=recall_at, k=5, device=CPU
        ).get_accuracy(x, labels)
        for recall_at in [(1,), (1, 1000)]
    ]
    assert scores[1]["recall_at_1000"] == 1
    for name in (*include, "r_precision", "recall_at_1"):
        assert scores[0][name] == scores[1][name]


def test_include_and_exclude_know_recall():
    x, labels = data()

    def names(*args, **kwargs):
        calculator = HyperbolicAccuracyCalculator(PoincareDistance(), device=CPU, **kwargs)
        return list(calculator.get_accuracy(x, labels, *args))

    assert names(include=("recall_at_4",)) == ["recall_at_4"]
    assert names(include=("mean_reciprocal_rank",)) == ["mean_reciprocal_rank"]
    assert "recall_at_2" not in names(exclude=("recall_at_2",))
    assert "recall_at_8" in names(exclude=("recall_at_2",))
    calculator = HyperbolicAccuracyCalculator(PoincareDistance(), recall_at=(7,), device=CPU)
    assert list(calculator.get_accuracy(x, labels, include=("recall_at_7",))) == ["recall_at_7"]
    with pytest.raises(ValueError, match="Primary metrics"):
        HyperbolicAccuracyCalculator(PoincareDistance(), include=("recall_at_3",))


def test_functions_of_the_user_win():
    x, labels = data()
    calls = []

    def knn(query, k, reference, ref_includes_query):
        calls.append(query.dtype)
        return CustomKNN(PoincareDistance())(query, k, reference, ref_includes_query)

    def kmeans(x, count):
        calls.append(count)
        return torch.zeros(len(x))

    calculator = HyperbolicAccuracyCalculator(
        PoincareDistance(), knn_func=knn, kmeans_func=kmeans, device=CPU
    )
    calculator.get_accuracy(x.double(), labels)
    assert calls == [torch.float32, 6]
    assert "geodesic" not in calculator.description()


def test_comparison_function_sees_the_labels_themselves():
    x, labels = data()
    calculator = HyperbolicAccuracyCalculator(
        PoincareDistance(),
        exclude=("NMI", "AMI"),
        label_comparison_fn=lambda a, b: (a - b).abs() <= 10,
        device=CPU,
    )
    assert calculator.get_accuracy(x, labels * 10)["recall_at_1"] > 0


def test_says_what_ranked(caplog):
    x, labels = data()
    calculator = HyperbolicAccuracyCalculator(PoincareDistance(c=1e-4), device=CPU)
    with caplog.at_level(logging.INFO, logger=c_f.LOGGER_NAME):
        calculator.get_accuracy(x, labels)
    assert any("geodesic distance (c=0.0001)" in message for message in caplog.messages)
    assert calculator.description() == "geodesic_c0p0001"
    assert (
        HyperbolicAccuracyCalculator(PoincareDistance(c=1e-6), avg_of_avgs=True, device=CPU)
        .description()
        .isidentifier()
    )


@pytest.mark.parametrize(
    ("recall_at", "message"),
    [
        ((0,), "an integer recall_at >= 1, got 0"),
        ((1, 1), r"distinct values of recall_at, got \[1, 1\]"),
        ((1.5,), "an integer recall_at >= 1, got 1.5"),
        ((True,), "an integer recall_at >= 1, got True"),
    ],
)
def test_bad_recall_at(recall_at, message):
    with pytest.raises(ValueError, match=message):
        HyperbolicAccuracyCalculator(PoincareDistance(), recall_at=recall_at)


def test_numpy_integers_name_recall_as_plain_ones_do():
    calculator = HyperbolicAccuracyCalculator(
        PoincareDistance(), recall_at=np.array([1, 16]), device=CPU
    )
    assert {"recall_at_1", "recall_at_16"} <= set(calculator.get_curr_metrics())
