"""Cosine ranking against loops over queries."""

import pytest
import torch

from pml_hyperbolic.utils import CosineAccuracyCalculator
from tests.utils.slow_metrics import CPU, data, slow_metrics


def test_cosine_equals_loops(backend):
    x, labels = data()
    scores = CosineAccuracyCalculator(recall_at=(1, 2), device=CPU).get_accuracy(x, labels)
    similarity = torch.nn.functional.cosine_similarity(x[:, None], x, dim=2)
    for name, value in slow_metrics(-similarity, labels, (1, 2)).items():
        assert scores[name] == pytest.approx(value, abs=1e-6), name
    assert 0 < scores["NMI"] <= 1
