"""Positive and negative similarities: the split, the histograms, the separation."""

import numpy as np
import pytest

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.visualize.similarities import (
    SimilaritySplit,
    separation,
    similarities,
    split_similarities,
)
from tests.visualize.rendering import assert_legible, words_of


def test_each_sample_has_one_positive_class():
    matrix = np.arange(6.0).reshape(2, 3)
    split = split_similarities(matrix, np.array([2, 0]))
    assert split.positive.tolist() == [2, 3]
    assert split.negative.tolist() == [0, 1, 4, 5]


def test_separation_is_the_share_of_ordered_pairs():
    generator = np.random.default_rng(0)
    split = SimilaritySplit(generator.integers(0, 9, 30), generator.integers(0, 6, 40))
    pairs = [(p > n) + (p == n) / 2 for p in split.positive for n in split.negative]
    assert separation(split) == pytest.approx(np.mean(pairs))


def test_histograms_have_area_one_and_stand_on_the_same_bins():
    generator = np.random.default_rng(0)
    models = {
        name: SimilaritySplit(generator.normal(m, 0.1, 50), generator.normal(0, 0.2, 90))
        for name, m in (("with", 0.6), ("without", 0.3))
    }
    figure = similarities(models, similarity_name="cosine similarity")
    first, second = figure.axes
    edges = []
    for axes in (first, second):
        for patch in axes.patches:
            heights, own, _ = patch.get_data()
            assert (heights * np.diff(own)).sum() == pytest.approx(1)
            edges.append(own)
    assert all((own == edges[0]).all() for own in edges)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["negative classes", "positive class"]
    assert f"AUC {separation(models['with']):.3f}" in words_of(figure)
    assert first.get_xlabel() == "cosine similarity"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_any_number_of_models_is_legible(count):
    split = SimilaritySplit(np.linspace(0, 1, 20), np.linspace(-1, 0.5, 20))
    assert_legible(
        similarities({f"CHEST, with the Euclidean loss, seed {n}": split for n in range(count)})
    )


def test_a_remark_stands_below():
    remark = (
        "a: cosine similarity to the nearest proxy. b: hyperbolic similarity to the class mean."
    )
    split = SimilaritySplit(np.ones(3), np.zeros(2))
    figure = similarities({"a": split, "b": split}, remark=remark)
    assert remark in words_of(figure)
    assert_legible(figure)


def test_equal_similarities_are_drawn():
    assert_legible(similarities({"a": SimilaritySplit(np.ones(3), np.ones(2))}))


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="at least one model"):
        similarities({})
    with pytest.raises(InputError, match="the negative similarities of 'a'"):
        similarities({"a": SimilaritySplit(np.ones(2), np.ones(0))})
    with pytest.raises(InputError, match=r"\(N, C\)"):
        split_similarities(np.ones((2, 3)), np.zeros(3, int))
    with pytest.raises(InputError, match="between 0 and 2"):
        split_similarities(np.ones((2, 3)), np.array([0, 3]))
