"""Accuracy over the embedding dimension, from any set of runs."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ...visualize.dimension import DimensionScores, dimension
from ..reporting.score_group import ScoreGroup
from ..reporting.statistics import mean_interval
from ..results.metric_names import PRECISION_AT_1, metric_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_dimension(groups: Sequence[ScoreGroup], *, metric: str = PRECISION_AT_1) -> "Figure":
    """Draw the score of every method at every dimension of the whole embedding.

    A method with two spaces stands at the sum of their dimensions, as it needs all of them.

    Args:
        groups: lines of one or several benchmarks. Lines of the same method and space are points
            of one curve.
        metric: its key. Default R@1, as in HIER's Figure 7.

    Raises:
        InputError: a method was run with one dimension twice, or no line has the metric.
    """
    found: dict[str, dict[int, list[float]]] = {}
    for group in groups:
        values = [100 * value for value in group.values("test", metric)]
        scores = found.setdefault(group.title, {})
        size = group.first.total_dimension
        if size in scores:
            raise InputError(
                f"{group.title} was run with {size} dimensions in two of the folders: leave one of "
                f"them out"
            )
        if values:
            scores[size] = values
    methods = {title: dimension_scores(values) for title, values in found.items() if values}
    if not methods:
        raise InputError(f"none of these runs has the metric {metric_title(metric)}")
    seeds = {len(values) for scores in found.values() for values in scores.values()}
    interval = "95% interval over seeds" if max(seeds) > 1 else "none, there is one seed only"
    return dimension(methods, metric=f"{metric_title(metric)} (%)", interval=interval)


def dimension_scores(values: Mapping[int, Sequence[float]]) -> DimensionScores:
    """Return the means of scores with their 95% t-intervals.

    Args:
        values: dimension -> score of each repetition, in percent.
    """
    dimensions = sorted(values)
    intervals = [mean_interval(values[size]) for size in dimensions]
    mean = np.array([one.mean for one in intervals])
    half = np.array([0.0 if math.isnan(one.half_width) else one.half_width for one in intervals])
    return DimensionScores(np.array(dimensions), mean, mean - half, mean + half)
