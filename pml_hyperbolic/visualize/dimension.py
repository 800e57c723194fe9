"""Accuracy over the embedding dimension."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from ..errors import InputError
from .style import LEGEND_NAME, legend_beside, new_figure, note, series, shown, styled

# Octaves between two methods at one dimension, and from the outer dimensions to the frame.
_APART = 0.04
_MARGIN = 0.4


class DimensionScores(NamedTuple):
    """A method's score at each dimension.

    Args:
        dimensions: (K,) embedding dimensions, >= 1.
        values: (K,) scores.
        low, high: (K,) ends of their intervals; equal to ``values`` where there is none.
    """

    dimensions: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


@styled
def dimension(
    methods: Mapping[str, DimensionScores],
    *,
    metric: str = "Recall@1 (%)",
    interval: str = "95% interval over seeds",
) -> Figure:
    """HIER's Figure 7: accuracy over embedding dimension for several methods, with intervals.

    Args:
        methods: by name, at least one. Each may have dimensions of its own.
        metric: title of the vertical axis.
        interval: what the bars are, for the sentence below.

    Raises:
        InputError: no methods, or shapes that do not fit.
    """
    if not methods:
        raise InputError("give the scores of at least one method")
    for name, scores in methods.items():
        shapes = {np.shape(part) for part in scores}
        if len(shapes) != 1 or len(shapes.pop()) != 1 or np.min(scores.dimensions) < 1:
            raise InputError(
                f"the scores of {name!r} must be four arrays (K,) and dimensions >= 1, "
                f"got shapes {[np.shape(part) for part in scores]}"
            )
    figure = new_figure(height=3.8)
    axes = figure.add_subplot()
    every = np.unique(np.concatenate([scores.dimensions for scores in methods.values()]))
    count, endings = len(methods), []
    for number, (name, scores) in enumerate(methods.items()):
        order = np.argsort(scores.dimensions, kind="stable")
        # Neighbouring methods stand a little apart, so that their bars do not hide each other.
        shift = 2 ** (_APART * (number - (count - 1) / 2))
        x = np.asarray(scores.dimensions, float)[order] * shift
        y, low, high = (np.asarray(part, float)[order] for part in scores[1:])
        line = axes.errorbar(
            x,
            y,
            yerr=[y - low, high - y],
            **series(number),
            markersize=4.5,
            linewidth=1.3,
            elinewidth=0.9,
            capsize=2,
            label=shown(name, LEGEND_NAME),
        )
        endings.append((y[-1], line))
    axes.set_xscale("log", base=2)
    axes.set_xlim(every.min() * 2**-_MARGIN, every.max() * 2**_MARGIN)
    axes.xaxis.set_major_locator(FixedLocator(every.tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(every, [str(value) for value in every])
    axes.set_xlabel("embedding dimension (logarithmic)")
    axes.set_ylabel(metric)
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    # In the order in which the lines end.
    handles = [line for _, line in sorted(endings, key=lambda pair: -pair[0])]
    legend_beside(figure, handles, [str(line.get_label()) for line in handles])
    note(figure, f"Bars: {interval}. Methods stand a little apart at each dimension.")
    return figure
