"""Differences to a baseline with their intervals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..errors import InputError
from .style import FAINT, INK, RIGHT, WIDTH, WRONG, new_figure, note, shown, styled

BETTER, WORSE, UNDECIDED = "better", "worse", "no difference shown"
_LOOKS = {BETTER: (RIGHT, "^"), WORSE: (WRONG, "v"), UNDECIDED: (FAINT, "o")}


class Difference(NamedTuple):
    """A line of the forest.

    Args:
        name: of the method.
        value: its difference to the baseline.
        low, high: ends of the interval.
        verdict: "better", "worse" or "no difference shown".
    """

    name: str
    value: float
    low: float
    high: float
    verdict: str


@styled
def forest(
    differences: Sequence[Difference],
    *,
    baseline: str,
    metric: str = "MAP@R (points)",
    interval: str = "95% interval",
    width: float = WIDTH,
) -> Figure:
    """Differences to a baseline, a row a method in the order given, zero marked.

    A method that is better has an upward triangle in blue, a worse one a downward triangle in
    orange, and one without a verdict a grey circle.

    Args:
        differences: at least one.
        baseline: its name, for the axis.
        metric: its name, for the axis.
        interval: what the bars are, for the sentence below.
        width: of the figure in inches. Default that of a page's text.

    Raises:
        InputError: no differences, an unknown verdict, or an interval that does not hold its value.
    """
    if not differences:
        raise InputError("give at least one difference")
    for line in differences:
        if line.verdict not in _LOOKS:
            raise InputError(
                f"the verdict of {line.name!r} must be one of {', '.join(_LOOKS)}, "
                f"got {line.verdict!r}"
            )
        if not line.low <= line.value <= line.high:
            raise InputError(
                f"the interval of {line.name!r} must hold its value, "
                f"got {line.value:g} in [{line.low:g}, {line.high:g}]"
            )
    rows = len(differences)
    figure = new_figure(width, 1.2 + 0.27 * rows)
    axes = figure.add_subplot()
    axes.axvline(0, color=INK, linewidth=0.8)
    for row, line in enumerate(differences):
        colour, mark = _LOOKS[line.verdict]
        axes.errorbar(
            line.value,
            row,
            xerr=[[line.value - line.low], [line.high - line.value]],
            color=colour,
            marker=mark,
            markersize=6,
            linewidth=1.6,
            capsize=2.5,
            gid=line.verdict,
        )
        axes.text(
            1.03,
            row,
            f"{line.value:+.2f}  [{line.low:+.2f}, {line.high:+.2f}]",
            transform=axes.get_yaxis_transform(),
            fontsize=7.5,
            va="center",
            gid="numbers",
        )
    reach = 1.08 * max(max(abs(line.low), abs(line.high)) for line in differences) or 1.0
    axes.set_xlim(min(-0.08 * reach, *(1.08 * d.low for d in differences)), None)
    axes.set_xlim(None, max(0.08 * reach, *(1.08 * d.high for d in differences)))
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_yticks(np.arange(rows), [shown(line.name, 40) for line in differences])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{metric}: difference to {shown(baseline, 40)}")
    axes.grid(axis="x", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    note(
        figure,
        f"Bars: {interval}. Triangle up: better. Triangle down: worse. "
        f"Circle: no difference shown.",
    )
    return figure
