"""What all figures share: colours, markers, fonts, texts that are safe to draw, spreading labels.

Figures are built on ``matplotlib.figure.Figure`` itself, without pyplot and its global state.
"""

import functools
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypedDict, TypeVar

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from scipy.optimize import isotonic_regression

P = ParamSpec("P")
R = TypeVar("R")

# Okabe and Ito's colour-blind safe set without its yellow, which is too pale on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A5195")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
INK = "#222222"
FAINT = "#8C8C8C"
RIGHT, WRONG = "#0072B2", "#D55E00"
WIDTH = 7.2  # inches: a page's text width
SMALL = 7.0  # points: the smallest text that is read
_LONGEST_NAME = 28
LEGEND_NAME = 36  # letters of a method with its space in a legend of its own

# Keys are Any, because matplotlib's own annotations list the settings of one version.
_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw under this project's settings, whatever the user's own matplotlib settings are."""

    @functools.wraps(draw)
    def with_style(*arguments: P.args, **options: P.kwargs) -> R:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_RC)
            return draw(*arguments, **options)

    return with_style


def new_figure(width: float = WIDTH, height: float = 4.0) -> Figure:
    """An empty figure of this size in inches whose parts make room for each other."""
    return Figure(figsize=(width, height), layout="constrained")


def color(number: int) -> str:
    """The colour of a group; colours repeat after seven groups, the marker then changes."""
    return COLORS[number % len(COLORS)]


def marker(number: int) -> str:
    """The marker of a group: one for the first seven groups, the next for the next seven."""
    return MARKERS[number // len(COLORS) % len(MARKERS)]


class SeriesStyle(TypedDict):
    """How the line of a series is drawn."""

    color: str
    marker: str
    linestyle: str


def series(number: int) -> SeriesStyle:
    """Colour, marker and line style of a series: three ways to tell it from its neighbours."""
    return {
        "color": color(number),
        "marker": MARKERS[(number + number // len(COLORS)) % len(MARKERS)],
        "linestyle": LINES[number % len(LINES)],
    }


def shown(name: object, longest: int = _LONGEST_NAME) -> str:
    """A name as it is drawn: no underscores, no mathematics, and not too long.

    An underscore in front would hide it from legends; a dollar sign would start mathematics.
    """
    text = " ".join(str(name).replace("_", " ").split())
    if len(text) > longest:
        text = text[: longest - 1].rstrip() + "…"
    return text.replace("$", r"\$")


def wrapped(text: str, width: float = WIDTH, size: float = SMALL) -> str:
    """Text broken into lines that fit ``width`` inches at this font size."""
    return textwrap.fill(text, max(20, int(width * 72 / (0.56 * size))))


def text_width(text: str, size: float = SMALL) -> float:
    """The width in inches of a line of text at this font size."""
    font = FontProperties(family="DejaVu Sans", size=size)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def fitted(name: object, width: float, size: float = SMALL) -> str:
    """A name as it is drawn, cut to fit ``width`` inches at this font size."""
    text = " ".join(str(name).replace("_", " ").split())
    longest = len(text)
    while longest > 2 and text_width(shown(text, longest), size) > width:
        longest -= 1
    return shown(text, longest)


def note(figure: Figure, text: str) -> None:
    """Put sentences under a figure, broken into lines that fit its width."""
    width = figure.get_figwidth() - 0.2
    figure.supxlabel(wrapped(text, width), fontsize=SMALL, x=0.01, ha="left", color=INK)


def legend_beside(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """A legend in a column of its own at the right of all axes, so that it hides nothing."""
    figure.legend(handles, names, loc="outside right upper", handlelength=3.0)


def spread(
    positions: Sequence[float] | np.ndarray, gap: float, low: float, high: float
) -> np.ndarray:
    """Move positions as little as possible (in squares) until neighbours are ``gap`` apart.

    Args:
        positions: (N,) in any order.
        gap: smallest distance; reduced where N of them do not fit.
        low, high: bounds of the result.

    Returns:
        (N,) positions in the same order.
    """
    positions = np.asarray(positions, float)
    count = len(positions)
    if count < 2:
        return np.clip(positions, low, high)
    gap = min(gap, (high - low) / (count - 1))
    order = np.argsort(positions, kind="stable")
    offsets = gap * np.arange(count)
    moved = isotonic_regression(positions[order] - offsets).x
    result = np.empty(count)
    result[order] = np.clip(moved, low, high - offsets[-1]) + offsets
    return result
