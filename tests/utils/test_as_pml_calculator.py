"""Calculators used as PML's own: the same scores in flat space, pickled, copied, and by parts."""

import copy
import math
import pickle

import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.utils import (
    CosineAccuracyCalculator,
    EmbeddingSpace,
    EmbeddingSpacesCalculator,
    HyperbolicAccuracyCalculator,
    PoincareKMeans,
    PoincareKNN,
)
from tests.utils.slow_metrics import CPU, data

FLAT = PoincareDistance(c=1e-7, clip_radius=None)
RANKING = (
    "mean_average_precision",
    "mean_average_precision_at_r",
    "mean_reciprocal_rank",
    "precision_at_1",
    "r_precision",
)
CLUSTERING = ("AMI", "NMI")


def both(**options):
    """PML's calculator with exact L2 search, and ours at the flat limit."""
    options = {"include": RANKING, "device": CPU, "k": None, **options}
    knn = CustomKNN(LpDistance(normalize_embeddings=False))
    return AccuracyCalculator(knn_func=knn, **options), HyperbolicAccuracyCalculator(
        FLAT, **options
    )


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, nan_ok=True, abs=1e-7), name


@pytest.mark.parametrize("k", [None, 1, 7, "max_bin_count"])
@pytest.mark.parametrize("averaged", [{}, {"avg_of_avgs": True}, {"return_per_class": True}])
@pytest.mark.parametrize("given", ["itself", "others", "itself and others"])
@pytest.mark.parametrize("lone", [False, True])
def test_scores_at_the_flat_limit_are_those_of_pml(k, averaged, given, lone):
    x, labels = data()
    if lone:
        labels[:4] = torch.arange(100, 104)
    arguments = {
        "itself": (x, labels),
        "others": (x[:40], labels[:40], x[40:], labels[40:]),
        "itself and others": (x[:40], labels[:40], x, labels, True),
    }[given]
    theirs, ours = both(k=k, **averaged)
    assert_same(ours.get_accuracy(*arguments), theirs.get_accuracy(*arguments))


def test_labels_of_two_columns_and_a_comparison_of_ones_own():
    x, labels = data()
    labels = torch.stack([labels, labels % 2], dim=1)
    theirs, ours = both(label_comparison_fn=lambda a, b: a[..., 0] == b[..., 0])
    assert_same(ours.get_accuracy(x, labels), theirs.get_accuracy(x, labels))


def test_include_and_exclude_of_a_call():
    x, labels = data()
    theirs, ours = both()
    for chosen in ({"include": ("r_precision",)}, {"exclude": ("r_precision",)}, {}):
        assert_same(
            ours.get_accuracy(x, labels, **chosen), theirs.get_accuracy(x, labels, **chosen)
        )
    assert set(ours.get_curr_metrics()) == set(RANKING)


def test_metrics_from_neighbours_of_ones_own():
    """``_get_accuracy`` with nothing but neighbours, as PML's tests call it: no determine_k."""
    x, labels = data()
    theirs, ours = both(include=())
    _, order = torch.cdist(x, x).topk(len(x) - 1, largest=False)
    unique, counts = labels.unique(return_counts=True)
    neighbours = {
        "query_labels": labels,
        "knn_labels": labels[order[:, 1:]],
        "not_lone_query_mask": torch.ones(len(x), dtype=torch.bool),
        "ref_includes_query": True,
        "label_counts": (unique, counts),
    }
    expected = theirs._get_accuracy(
        {name: theirs.original_function_dict[name] for name in RANKING}, **neighbours
    )
    functions = {name: ours.original_function_dict[name] for name in (*RANKING, "recall_at_8")}
    # Neither before nor after a search of its own does the calculator cut the neighbours.
    before = ours._get_accuracy(functions, **neighbours)
    ours.get_accuracy(x, labels)
    after = ours._get_accuracy(functions, **neighbours)
    assert before == after
    recall = (labels[order[:, 1:9]] == labels[:, None]).any(1).double().mean()
    assert before.pop("recall_at_8") == pytest.approx(float(recall))
    assert_same(before, expected)


def test_the_search_of_a_calculator_shows_its_index():
    x, labels = data()
    calculator = HyperbolicAccuracyCalculator(PoincareDistance(), device=CPU)
    calculator.get_accuracy(x, labels)
    assert calculator.knn_func.index is None
    knn = PoincareKNN(PoincareDistance(), reset_after=False)
    calculator = HyperbolicAccuracyCalculator(PoincareDistance(), knn_func=knn, device=CPU)
    calculator.get_accuracy(x[:5], labels[:5], x[:9], labels[:9])
    assert calculator.knn_func.index.ntotal == 9


def spaces():
    return EmbeddingSpacesCalculator(
        {
            "euclidean": EmbeddingSpace((None, 3), CosineAccuracyCalculator(device=CPU)),
            "hyperbolic": EmbeddingSpace(
                slice(3, None), HyperbolicAccuracyCalculator(PoincareDistance(), device=CPU)
            ),
        }
    )


CALCULATORS = {
    "hyperbolic": lambda: HyperbolicAccuracyCalculator(PoincareDistance(), device=CPU),
    "hyperbolic, several K": lambda: HyperbolicAccuracyCalculator(
        PoincareSimilarity(c=0.3), recall_at=(1, 5), k=3, exclude=("AMI",), device=CPU
    ),
    "hyperbolic, other functions": lambda: HyperbolicAccuracyCalculator(
        PoincareDistance(),
        knn_func=PoincareKNN(PoincareDistance()),
        kmeans_func=PoincareKMeans(PoincareDistance()),
        device=CPU,
    ),
    "cosine": lambda: CosineAccuracyCalculator(recall_at=(2,), device=CPU),
    "spaces": spaces,
}


@pytest.mark.parametrize("again", ["pickle", "deepcopy"])
@pytest.mark.parametrize("name", CALCULATORS)
def test_pickled_and_copied_calculators_score_alike(name, again, backend):
    x, labels = data(size=6)
    x = x.double()
    calculator = CALCULATORS[name]()
    expected = calculator.get_accuracy(x, labels)
    other = (
        pickle.loads(pickle.dumps(calculator)) if again == "pickle" else copy.deepcopy(calculator)
    )
    assert other.get_accuracy(x, labels) == expected
    assert other.description() == calculator.description()


def test_a_copy_searches_its_own_float64_embeddings():
    """Had the copy's search kept the calculator it came from, it would see rounded embeddings."""
    boundary = PoincareDistance(c=1.0, clip_radius=None, inputs="ball")
    x = torch.nn.functional.normalize(torch.randn(60, 3, dtype=torch.float64)) * (1 - 1e-10)
    calculator = pickle.loads(pickle.dumps(HyperbolicAccuracyCalculator(boundary, device=CPU)))
    assert not math.isnan(calculator.get_accuracy(x, torch.arange(60) % 5)["recall_at_1"])


def test_clustering_of_separated_classes_is_perfect(backend):
    labels = torch.arange(90) % 3
    x = 5 * torch.eye(3)[labels] + 0.1 * torch.randn(90, 3)
    for calculator in (HyperbolicAccuracyCalculator, CosineAccuracyCalculator):
        first = (FLAT,) if calculator is HyperbolicAccuracyCalculator else ()
        scores = calculator(*first, include=CLUSTERING, device=CPU).get_accuracy(x, labels)
        assert scores == pytest.approx(dict.fromkeys(CLUSTERING, 1.0))
