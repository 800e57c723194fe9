"""Queries and what two methods find for them, right and wrong."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..errors import InputError
from .image_grid import draw_thumbnail, grid_axes, image_array
from .style import INK, RIGHT, SMALL, WIDTH, WRONG, fitted, new_figure, note, shown, styled

_CELL = 0.62  # inches
_QUERY_GAP = 0.15  # cells between the query and what is found
_METHOD_GAP = 0.35  # cells between two methods
_ROW_GAP = 0.12  # cells between two queries
_TEXT = 0.32  # cells above a row of images
_HEADING = 0.3  # cells


class ChosenQueries(NamedTuple):
    """Queries to show, and why.

    Args:
        indices: (Q,) of the queries.
        reasons: (Q,) in words, such as "win, +0.83".
    """

    indices: np.ndarray
    reasons: tuple[str, ...]


def choose_queries(
    scores: np.ndarray,
    baseline: np.ndarray,
    *,
    wins: int = 2,
    losses: int = 2,
    random: int = 2,
    seed: int = 0,
) -> ChosenQueries:
    """The largest wins and losses against a baseline, and queries drawn at random.

    Nothing is picked by hand: ties go to the lower index, and no query is taken twice. Where
    fewer queries are won or lost than asked for, fewer are returned.

    Args:
        scores: (Q,) per-query scores of the method, such as average precision.
        baseline: (Q,) those of the baseline on the same queries.
        wins: number of queries with the largest gains, >= 0.
        losses: number of queries with the largest drops, >= 0.
        random: number of further queries drawn uniformly, >= 0.
        seed: of that draw.

    Raises:
        InputError: shapes do not fit, or scores are not finite.
    """
    scores, baseline = np.asarray(scores, float), np.asarray(baseline, float)
    if scores.ndim != 1 or scores.shape != baseline.shape:
        raise InputError(
            f"scores and baseline must have one shape (Q,), got {scores.shape} and {baseline.shape}"
        )
    gains = scores - baseline
    if not np.isfinite(gains).all():
        raise InputError(
            f"{int((~np.isfinite(gains)).sum())} of {len(gains)} scores are not finite"
        )
    chosen = [
        (index, f"win, {gains[index]:+.2f}")
        for index in np.argsort(-gains, kind="stable")[:wins]
        if gains[index] > 0
    ]
    chosen += [
        (index, f"loss, {gains[index]:+.2f}")
        for index in np.argsort(gains, kind="stable")[:losses]
        if gains[index] < 0
    ]
    rest = np.setdiff1d(np.arange(len(gains)), [index for index, _ in chosen])
    drawn = np.random.default_rng(seed).permutation(rest)[:random]
    chosen += [(index, f"random, {gains[index]:+.2f}") for index in drawn]
    return ChosenQueries(
        np.array([index for index, _ in chosen], dtype=int),
        tuple(reason for _, reason in chosen),
    )


@styled
def retrieval(
    queries: np.ndarray,
    found: Mapping[str, np.ndarray],
    query_labels: np.ndarray,
    reference_labels: np.ndarray,
    query_image: Callable[[int], Any],
    reference_image: Callable[[int], Any] | None = None,
    *,
    reasons: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    rows: int = 1,
    metric: str = "average precision",
) -> Figure:
    """HIER's Figure 8 and CHEST's Figure 2: queries and the top k of one or two methods.

    A right result (the query's class) has a solid blue frame, a wrong one a dashed orange frame,
    the query a black one. CHEST's form is k = 19 with ``rows=2``.

    Args:
        queries: (Q,) indices of the queries, from :func:`choose_queries`.
        found: one or two methods by name, each (Q, k) indices of references, nearest first.
        query_labels: (queries in all,) classes.
        reference_labels: (references in all,) classes.
        query_image: the image of a query by its index.
        reference_image: the image of a reference by its index. Default that of the query.
        reasons: (Q,) words above each query, from :func:`choose_queries`.
        class_names: by label; the query's is written above it.
        rows: rows in which each method's results are set, >= 1. In one row, methods stand side by
            side; in several, under each other.
        metric: what the reasons' numbers are differences of.

    Raises:
        InputError: no queries, no or more than two methods, or shapes and indices that do not fit.
    """
    queries = np.asarray(queries)
    query_labels, reference_labels = np.asarray(query_labels), np.asarray(reference_labels)
    _check(queries, found, query_labels, reference_labels, reasons, rows)
    reference_image = reference_image or query_image
    k = next(iter(found.values())).shape[1]
    # In several rows the query takes the first cell of each method, and methods stand under each
    # other; in one row the query stands once, before the methods side by side.
    stacked = rows > 1
    places = -(-(k + stacked) // rows)
    lead = 0 if stacked else 1 + _QUERY_GAP
    columns = lead + places if stacked else lead + len(found) * (places + _METHOD_GAP) - _METHOD_GAP
    pitch = (rows + _TEXT) * (len(found) if stacked else 1) + _ROW_GAP
    heading = 0 if stacked else _HEADING
    height = heading + len(queries) * pitch
    cell = min(_CELL, (WIDTH - 0.2) / columns)
    figure = new_figure(max(columns * cell + 0.2, 4.0), height * cell + 0.65)
    axes = grid_axes(figure, columns, height)
    for row, query in enumerate(queries):
        label = query_labels[query]
        words = [] if reasons is None else [reasons[row]]
        words += [] if class_names is None else [shown(class_names[label], 40)]
        picture = image_array(query_image(int(query)), f"query {query}")
        for number, (method, results) in enumerate(found.items()):
            top = heading + row * pitch + _TEXT
            top += number * (rows + _TEXT) if stacked else 0
            left = 0 if stacked else lead + number * (places + _METHOD_GAP)
            if stacked or number == 0:
                text = "   ".join([shown(method, 40), *words] if stacked else words)
                axes.text(0.04, top - 0.04, text, fontsize=SMALL, va="bottom", gid="query text")
                draw_thumbnail(axes, picture, 0, top, frame=INK, gid="query")
            if row == 0 and not stacked:
                text = fitted(method, places * cell, 9.5)
                axes.text(left + places / 2, 0.1, text, fontsize=9.5, ha="center", gid="method")
            for place, index in enumerate(results[row]):
                line, column = divmod(place + stacked, places)
                right = reference_labels[index] == label
                draw_thumbnail(
                    axes,
                    image_array(reference_image(int(index)), f"reference {index}"),
                    left + column,
                    top + line,
                    frame=RIGHT if right else WRONG,
                    line_style="-" if right else (0, (1.5, 0.8)),
                    gid="right" if right else "wrong",
                )
    sentence = "Query: black frame. Right: solid blue. Wrong: dashed orange. Nearest first."
    if reasons is not None:
        sentence += f" Numbers: {metric}, method less baseline."
    note(figure, sentence)
    return figure


def _check(queries, found, query_labels, reference_labels, reasons, rows):
    if queries.ndim != 1 or not len(queries):
        raise InputError(f"retrieval needs at least one query, got shape {queries.shape}")
    if not 1 <= len(found) <= 2:
        raise InputError(f"retrieval shows one or two methods, got {len(found)}")
    shapes = {np.shape(results) for results in found.values()}
    shape = shapes.pop()
    if shapes or len(shape) != 2 or shape[0] != len(queries) or shape[1] < 1:
        raise InputError(
            f"every method's results must have shape ({len(queries)}, k), one k for all, got "
            f"{[np.shape(results) for results in found.values()]}"
        )
    if rows < 1:
        raise InputError(f"rows must be at least 1, got {rows}")
    if reasons is not None and len(reasons) != len(queries):
        raise InputError(f"got {len(reasons)} reasons for {len(queries)} queries")
    for name, values, bound in [
        ("queries", queries, len(query_labels)),
        *((f"results of {name!r}", r, len(reference_labels)) for name, r in found.items()),
    ]:
        if np.min(values) < 0 or np.max(values) >= bound:
            raise InputError(
                f"the {name} must lie between 0 and {bound - 1}, "
                f"got {np.min(values)} to {np.max(values)}"
            )
