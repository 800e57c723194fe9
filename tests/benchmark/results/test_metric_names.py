"""Metrics have one key and one title each."""

import pytest

from pml_hyperbolic.benchmark.results.metric_names import (
    TITLES,
    metric_key,
    metric_title,
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


def test_titles_lead_back():
    for key in (*TITLES, "recall_at_10"):
        assert metric_key(metric_title(key)) == key


def test_recalls_in_the_order_of_k():
    keys = ["recall_at_10", "r_precision", "recall_at_1", "recall_at_2", "recall_at_k"]
    assert recall_keys(keys) == ["recall_at_2", "recall_at_10"]
