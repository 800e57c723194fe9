"""Every metric has one key and one title, and all lists of metrics agree."""

import pytest
import torch
from pydantic import ValidationError

from pml_hyperbolic.benchmark.assembly.evaluation import make_tester
from pml_hyperbolic.benchmark.config import EvaluationConfig
from pml_hyperbolic.benchmark.results.metric_names import (
    METRICS,
    PRIMARY,
    QUERY_KEYS,
    TITLES,
    metric_key,
    metric_title,
    recall_k,
    recall_key,
    recall_keys,
)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("R@1", "precision_at_1"),
        ("recall_at_1", "precision_at_1"),
        ("R@10", "recall_at_10"),
        ("recall_at_10", "recall_at_10"),
        ("MAP@R", "mean_average_precision_at_r"),
        ("R-Precision", "r_precision"),
        ("r_precision", "r_precision"),
        ("R@0", None),
        ("r@1", None),
        ("NMI", None),
    ],
)
def test_keys(name, key):
    assert metric_key(name) == key


def test_titles_lead_back_to_keys():
    for key in (*TITLES, "recall_at_10"):
        assert metric_key(metric_title(key)) == key


def test_recalls_in_the_order_of_k():
    keys = ["recall_at_10", "r_precision", "recall_at_1", "recall_at_2", "recall_at_k"]
    assert recall_keys(keys) == ["recall_at_2", "recall_at_10"]


def test_recall_keys_and_k():
    assert [recall_k(recall_key(k)) for k in (1, 2, 1000)] == [1, 2, 1000]
    assert [recall_k(key) for key in ("recall_at_0", "recall_at_k", "r_precision")] == [None] * 3


def test_one_list_of_metrics():
    assert set(METRICS) == set(TITLES) == set(QUERY_KEYS)
    assert PRIMARY in METRICS
    for metric in METRICS:
        assert EvaluationConfig(select_by=metric).select_by == metric
    with pytest.raises(ValidationError):
        EvaluationConfig(select_by="NMI")
    evaluation = EvaluationConfig(recall_at=[4])
    tester = make_tester({"euclidean": 2}, None, evaluation, device=torch.device("cpu"))
    calculator = tester.accuracy_calculator.spaces["euclidean"].accuracy_calculator
    assert set(calculator.get_curr_metrics()) == {*METRICS, recall_key(4)}
