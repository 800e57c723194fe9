"""Queries that a method wins and loses against another, with what both find."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ...visualize.retrieval import choose_queries, retrieval
from .embedding_set import EmbeddingSet, title_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_retrieval(
    sets: Sequence[EmbeddingSet],
    *,
    k: int = 6,
    rows: int = 1,
    wins: int = 2,
    losses: int = 2,
    random: int = 2,
    random_seed: int = 0,
) -> "Figure":
    """Draw queries and their nearest images; nothing is picked by hand.

    Of two methods the queries are those with the largest wins and losses in average precision,
    and some at random; of a single one, all are drawn at random.

    Args:
        sets: a method, or a method and the baseline, on the same images.
        k: images to show of each query. Default 6; CHEST's Figure 2 has 19 in two rows.
        rows: of images for each query. Default 1.
        wins, losses, random: numbers of queries. Default 2 each.
        random_seed: of the random ones.

    Raises:
        InputError: there are no images or labels, or the two sets are not of the same images.
    """
    first = sets[0]
    image = first.needed_image()
    first.level(None, 0)
    labels = first.labels[:, 0]
    for other in sets[1:]:
        same = np.array_equal(labels, other.labels[:, 0] if len(other.levels) else [])
        if not same or not np.array_equal(first.queries, other.queries):
            raise InputError(
                f"{first.title} and {other.title} are not embeddings of the same images, so that "
                f"their results cannot be compared"
            )
    scores = [average_precisions(one) for one in sets]
    finite = np.flatnonzero(np.logical_and.reduce([np.isfinite(values) for values in scores]))
    if not len(finite):
        raise InputError(f"{first.title}: no query has another image of its class to find")
    compared = len(sets) > 1
    chosen = choose_queries(
        scores[0][finite],
        scores[-1][finite],
        wins=wins,
        losses=losses,
        random=random if compared else wins + losses + random,
        seed=random_seed,
    )
    if not len(chosen.indices):
        raise InputError("no queries to show: ask for at least one win, loss or random query")
    queries = finite[chosen.indices]
    found: dict[str, np.ndarray] = {}
    for one in sets:
        found[title_beside(one.title, found)] = one.found(k)[queries]
    return retrieval(
        first.queries[queries],
        found,
        labels,
        labels,
        image,
        reasons=chosen.reasons if compared else None,
        class_names=[first.name(0, label) for label in range(int(labels.max()) + 1)],
        rows=rows,
    )


def average_precisions(one: EmbeddingSet) -> np.ndarray:
    """Return the (Q,) MAP@R's average precision of each query; NaN without a match.

    Args:
        one: whose stored scores are taken where there are any.
    """
    if one.scores is not None:
        return one.scores.astype(float)
    labels = one.labels[:, 0]
    searched = labels if one.gallery is None else labels[one.gallery]
    values, counts = np.unique(searched, return_counts=True)
    of = dict(zip(values.tolist(), counts.tolist(), strict=True))
    own = labels[one.queries]
    matches = np.array([of.get(label, 0) for label in own.tolist()]) - (one.gallery is None)
    most = int(matches.max(initial=0))
    if most < 1:
        return np.full(len(own), np.nan)
    right = labels[one.found(most)] == own[:, None]
    places = np.arange(1, right.shape[1] + 1)
    counted = right & (places <= matches[:, None])
    precision = np.cumsum(right, axis=1) / places
    with np.errstate(invalid="ignore"):
        return np.where(matches > 0, (precision * counted).sum(1) / matches, np.nan)
