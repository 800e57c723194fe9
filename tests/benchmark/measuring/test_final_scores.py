"""Per-query and per-level scores agree with the calculators and with a slow reference."""

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.measuring import final_scores
from pml_hyperbolic.benchmark.measuring.final_scores import (
    Retrieval,
    finest_scores,
    level_scores,
    query_scores,
)
from pml_hyperbolic.distances import PoincareDistance
from pml_hyperbolic.utils import CosineAccuracyCalculator, HyperbolicAccuracyCalculator

CPU = torch.device("cpu")
METRICS = ("precision_at_1", "r_precision", "mean_average_precision_at_r", "recall_at_3")
NAMES = {
    "precision_at_1": "precision_at_1",
    "r_precision": "r_precision",
    "average_precision_at_r": "mean_average_precision_at_r",
}
CALCULATORS = {
    "cosine": lambda: CosineAccuracyCalculator(include=METRICS, recall_at=[3], device=CPU),
    "hyperbolic": lambda: HyperbolicAccuracyCalculator(
        PoincareDistance(c=0.5), include=METRICS, recall_at=[3], device=CPU
    ),
}


def points(count, seed=0):
    """Return embeddings and (fine, coarse) labels of classes of various sizes, one of size 1."""
    generator = torch.Generator().manual_seed(seed)
    fine = torch.cat([torch.tensor([0]), torch.randint(1, 9, (count - 1,), generator=generator)])
    labels = torch.stack([fine, fine // 3], dim=1)
    centres = torch.randn(9, 4, generator=generator)
    return centres[fine] + 0.9 * torch.randn(count, 4, generator=generator), labels


def by_hand(similarity, query_labels, gallery_labels, itself):
    """Compute the metrics of each query in a slow loop."""
    found = {name: [] for name in [*NAMES, "recall_at_3"]}
    for i, label in enumerate(query_labels):
        order = [j for j in similarity[i].argsort(descending=True).tolist() if not itself or j != i]
        hits = [float(gallery_labels[j] == label) for j in order]
        r = int(sum(hits))
        if r == 0:
            values = [np.nan] * 4
        else:
            precision = [sum(hits[: n + 1]) / (n + 1) * hits[n] for n in range(r)]
            values = [hits[0], sum(hits[:r]) / r, sum(precision) / r, max(hits[:3])]
        for name, value in zip(found, values, strict=True):
            found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


def similarity(kind, x, y):
    if kind == "hyperbolic":
        return -PoincareDistance(c=0.5)(x, y)
    return torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(y).T


@pytest.mark.parametrize("kind", CALCULATORS)
@pytest.mark.parametrize("gallery", [False, True])
def test_scores_equal_a_slow_reference(kind, gallery):
    x, labels = points(60)
    y, answers = points(45, seed=1) if gallery else (x, labels)
    # Class 0 has a single image, which is a query without a match.
    answers = answers.clone()
    if gallery:
        answers[answers[:, 0] == 0] = 1
        answers[:, 1] = answers[:, 0] // 3
    retrieval = Retrieval(x, labels, *((y, answers) if gallery else ()))
    calculator = CALCULATORS[kind]()
    search = calculator.knn_func
    scores, queries = finest_scores(calculator, retrieval)
    assert calculator.knn_func is search
    assert set(scores) == set(METRICS)
    for level in (0, 1):
        hand = by_hand(
            similarity(kind, x, y), labels[:, level], answers[:, level], itself=not gallery
        )
        found = scores if level == 0 else level_scores(calculator, retrieval, level)
        assert found["recall_at_3"] == pytest.approx(np.nanmean(hand["recall_at_3"]))
        for name, metric in NAMES.items():
            assert found[metric] == pytest.approx(np.nanmean(hand[name]))
            if level == 0:
                assert queries[name].dtype == np.float32
                np.testing.assert_allclose(queries[name], hand[name], atol=1e-6)
                # The calculator's value is the mean over the queries that have a match.
                assert np.nanmean(queries[name], dtype=float) == pytest.approx(scores[metric])
                assert np.isnan(queries[name]).sum() == 1
    reference = (y, answers[:, 1]) if gallery else ()
    assert level_scores(calculator, retrieval, 1) == CALCULATORS[kind]().get_accuracy(
        x, labels[:, 1], *reference
    )


def test_large_classes_are_scored_by_their_first_neighbours(monkeypatch):
    x, labels = points(60)
    calculator = CALCULATORS["cosine"]()
    whole = level_scores(calculator, Retrieval(x, labels), 1)
    monkeypatch.setattr(final_scores, "_LARGEST_RANKED", 10)
    assert level_scores(calculator, Retrieval(x, labels), 1) == whole
    largest = int(torch.bincount(labels[:, 1]).max()) - 1
    monkeypatch.setattr(final_scores, "_MOST_NEIGHBOURS", 60 * largest)
    assert level_scores(calculator, Retrieval(x, labels), 1) == whole
    monkeypatch.setattr(final_scores, "_MOST_NEIGHBOURS", 60 * largest - 1)
    cheap = level_scores(calculator, Retrieval(x, labels), 1)
    assert cheap == {name: whole[name] for name in ("precision_at_1", "recall_at_3")}
    assert calculator.k == "max_bin_count"
    monkeypatch.undo()
    assert level_scores(calculator, Retrieval(x, labels), 1) == whole


def test_no_query_has_a_match():
    scores = query_scores(torch.zeros(2, 3, dtype=torch.bool), torch.tensor([0, 0]))
    assert all(np.isnan(values).all() for values in scores.values())
