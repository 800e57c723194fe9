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


def test_embeddings_that_are_not_finite_are_named_as_such():
    x, labels = data()
    bad = x.clone()
    bad[2, 0] = torch.nan
    for embeddings in ((bad, labels), (x, labels, bad, labels)):
        with pytest.raises(ValueError, match="CosineAccuracyCalculator got NaN or infinite"):
            CosineAccuracyCalculator(device=CPU).get_accuracy(*embeddings)
