"""The test set of a run is scored by space and level, written, read back and concatenated."""

import math

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.assembly.evaluation import make_tester
from pml_hyperbolic.benchmark.config import EvaluationConfig
from pml_hyperbolic.benchmark.measuring.run_scores import (
    EmbeddedTestSet,
    concatenate,
    load_test,
    save_test,
    score_test,
)
from pml_hyperbolic.distances import PoincareDistance

CPU = torch.device("cpu")
SIZES = {"euclidean": 3, "hyperbolic": 2}
SPACES = {
    "euclidean": (slice(0, 3), None),
    "hyperbolic": (slice(3, 5), PoincareDistance(clip_radius=1.5)),
}


def example(seed=0, gallery=False):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(20) % 4
    labels = torch.stack([labels, labels // 2], dim=1)
    rows = np.arange(20)
    embeddings = torch.randn(20, 5, generator=generator) + labels[:, :1]
    query, answers = (rows[::3], rows[1::3]) if gallery else (rows, None)
    return EmbeddedTestSet(embeddings, labels, rows * 7, query, answers)


def scored(one):
    tester = make_tester(SIZES, PoincareDistance(), EvaluationConfig(), device=CPU)
    return score_test(tester.accuracy_calculator.spaces, one, ["class", "family"])


@pytest.mark.parametrize("gallery", [False, True])
def test_scores_and_files(tmp_path, gallery):
    one = example(gallery=gallery)
    scores = scored(one)
    assert list(scores.test) == list(scores.levels) == list(SIZES)
    assert set(scores.levels["hyperbolic"]) == {"family"}
    assert scores.levels["hyperbolic"]["family"] != scores.test["hyperbolic"]
    assert len(scores.queries["euclidean"]["r_precision"]) == len(one.query)
    save_test(tmp_path, one, scores)
    again = load_test(tmp_path)
    assert torch.equal(again.embeddings, one.embeddings)
    assert torch.equal(again.labels, one.labels)
    for name in ("indices", "query"):
        assert np.array_equal(getattr(again, name), getattr(one, name))
    assert (again.gallery is None) == (not gallery)
    with np.load(tmp_path / "queries.npz") as archive:
        assert np.array_equal(archive["test_indices"], one.indices[one.query])
    assert scored(again).test == scores.test
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "queries.npz",
        "test_embeddings.npy",
    ]


def test_concatenation_by_hand():
    folds = [example(seed) for seed in (1, 2, 3)]
    whole = concatenate(folds, SPACES)
    assert whole.embeddings.shape == (20, 15)
    # The cosine of concatenated embeddings is the mean of the cosines in the folds.
    flat = torch.nn.functional.normalize(whole.embeddings[:, :9])
    cosines = [torch.nn.functional.normalize(fold.embeddings[:, :3]) for fold in folds]
    expected = sum(part @ part.T for part in cosines) / 3
    torch.testing.assert_close(flat @ flat.T, expected)
    tangent = whole.embeddings[:, 9:]
    squares = 0.0
    for fold in folds:
        part = fold.embeddings[:, 3:]
        squares += part.norm(dim=1).clamp(max=1.5) ** 2
        assert 0 < (part.norm(dim=1) > 1.5).sum() < 20
    torch.testing.assert_close(tangent.norm(dim=1), (squares / 3).sqrt())
    first = folds[0].embeddings[:, 3:]
    first = first * (1.5 / first.norm(dim=1, keepdim=True)).clamp(max=1)
    torch.testing.assert_close(tangent[:, :2], first / math.sqrt(3))


def test_copies_of_one_fold_are_ranked_like_that_fold():
    one = example(4)
    whole = concatenate([one, one, one], SPACES)
    torch.testing.assert_close(
        PoincareDistance(clip_radius=1.5)(whole.embeddings[:, 9:]),
        PoincareDistance(clip_radius=1.5)(one.embeddings[:, 3:]),
    )


def test_smoothly_clipped_folds_are_concatenated_within_the_radius():
    one, smooth = example(4), PoincareDistance(clip_radius=1.5, clip="smooth")
    whole = concatenate([one, one], {"hyperbolic": (slice(3, 5), smooth)})
    torch.testing.assert_close(
        PoincareDistance(clip_radius=1.5)(whole.embeddings), smooth(one.embeddings[:, 3:])
    )


def test_other_images_are_refused():
    one = example()
    with pytest.raises(ValueError, match="embedded different images"):
        concatenate([one, one._replace(indices=one.indices + 1)], SPACES)
