"""Queries: how they are chosen; results: which frame they get."""

import numpy as np
import pytest

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.visualize.retrieval import choose_queries, retrieval
from tests.visualize.rendering import assert_legible, words_of

BASELINE = np.array([0.5, 0.5, 0.9, 0.1, 0.5, 0.5])
SCORES = np.array([0.6, 1.0, 0.2, 0.1, 0.5, 0.4])


def frames(figure, gid):
    return [patch for patch in figure.axes[0].patches if patch.get_gid() == gid]


def image(index):
    return np.full((10 + index % 3, 12, 3), (index * 7) % 255, np.uint8)


def test_the_largest_wins_and_losses_and_random_others_are_chosen():
    chosen = choose_queries(SCORES, BASELINE, wins=2, losses=1, random=2, seed=3)
    assert chosen.indices[:3].tolist() == [1, 0, 2]
    assert set(chosen.indices[3:]) < {3, 4, 5}
    assert chosen.reasons[:3] == ("win, +0.50", "win, +0.10", "loss, -0.70")
    assert chosen.reasons[3].startswith("random, ")
    again = choose_queries(SCORES, BASELINE, wins=2, losses=1, random=2, seed=3)
    assert again.indices.tolist() == chosen.indices.tolist()


def test_ties_are_no_wins_and_no_query_is_taken_twice():
    chosen = choose_queries(SCORES, BASELINE, wins=6, losses=6, random=9)
    assert sorted(chosen.indices) == [0, 1, 2, 3, 4, 5]
    assert [r.split(",")[0] for r in chosen.reasons] == ["win"] * 2 + ["loss"] * 2 + ["random"] * 2


def test_random_choice_depends_on_the_seed_alone():
    draws = {tuple(choose_queries(np.zeros(50), np.zeros(50), seed=s).indices) for s in range(5)}
    assert len(draws) == 5


LABELS = np.array([0, 0, 1, 1, 2, 2])
FOUND = {"HIER": np.array([[1, 2, 3], [3, 4, 0]]), "ProxyAnchor": np.array([[1, 5, 4], [3, 3, 3]])}


def test_results_of_the_querys_class_have_the_right_frame():
    figure = retrieval(
        np.array([0, 2]),
        FOUND,
        LABELS,
        LABELS,
        image,
        reasons=["win, +0.50", "loss, -0.10"],
        class_names=["Auk", "Tern", "Gull"],
    )
    # HIER: right, wrong, wrong | right, wrong, wrong; ProxyAnchor: right, wrong, wrong | 3 right.
    assert len(frames(figure, "right")) == 6
    assert len(frames(figure, "wrong")) == 6
    assert len(frames(figure, "query")) == 2
    assert len(figure.axes[0].images) == 14
    solid, dashed = frames(figure, "right")[0], frames(figure, "wrong")[0]
    assert solid.get_edgecolor() != dashed.get_edgecolor()
    assert solid.get_linestyle() != dashed.get_linestyle()
    for words in ("win, +0.50   Auk", "loss, -0.10   Tern", "HIER", "ProxyAnchor"):
        assert words in words_of(figure)
    assert_legible(figure)


def test_results_are_drawn_in_their_order():
    figure = retrieval(np.array([0]), {"HIER": FOUND["HIER"][:1]}, LABELS, LABELS, image)
    lefts = [picture.get_extent()[0] for picture in figure.axes[0].images]
    colours = [int(picture.get_array()[0, 0, 0]) for picture in figure.axes[0].images]
    assert lefts == sorted(lefts)
    assert colours == [0, 7, 14, 21]


def test_other_references_have_images_of_their_own():
    asked = []

    def reference_image(index):
        asked.append(index)
        return image(index)

    retrieval(np.array([0]), {"a": np.array([[5, 4]])}, LABELS, LABELS, image, reference_image)
    assert asked == [5, 4]


@pytest.mark.parametrize(("k", "rows"), [(1, 1), (5, 1), (10, 1), (19, 2), (7, 3)])
@pytest.mark.parametrize("methods", [1, 2])
def test_any_shape_is_legible_and_holds_all_results(k, rows, methods):
    generator = np.random.default_rng(0)
    found = {
        f"method {n} with a long name": generator.integers(0, 6, (3, k)) for n in range(methods)
    }
    figure = retrieval(
        np.array([0, 3, 5]),
        found,
        LABELS,
        LABELS,
        image,
        reasons=["random, +0.00"] * 3,
        class_names=["Scissor_tailed_Flycatcher"] * 3,
        rows=rows,
    )
    assert len(frames(figure, "right")) + len(frames(figure, "wrong")) == 3 * k * methods
    assert figure.get_figwidth() <= 7.3
    assert_legible(figure)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": np.zeros(0, int)}, "at least one query"),
        ({"queries": np.array([0, 9])}, "the queries must lie between 0 and 5"),
        ({"found": {}}, "one or two methods, got 0"),
        ({"found": {"a": FOUND["HIER"], "b": FOUND["HIER"][:, :2]}}, "one k for all"),
        ({"found": {"a": FOUND["HIER"] + 3}}, "results of 'a' must lie between 0 and 5"),
        ({"rows": 0}, "rows must be at least 1"),
        ({"reasons": ["one"]}, "1 reasons for 2 queries"),
        ({"query_image": lambda index: np.zeros(3)}, "query 0 must be an image"),
    ],
)
def test_wrong_input_is_refused(changes, message):
    arguments = {
        "queries": np.array([0, 2]),
        "found": FOUND,
        "query_labels": LABELS,
        "reference_labels": LABELS,
        "query_image": image,
    }
    with pytest.raises(InputError, match=message):
        retrieval(**{**arguments, **changes})


def test_scores_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="one shape"):
        choose_queries(SCORES, BASELINE[:3])
    with pytest.raises(InputError, match="1 of 6 scores are not finite"):
        choose_queries(SCORES, np.where(BASELINE == 0.9, np.nan, BASELINE))
