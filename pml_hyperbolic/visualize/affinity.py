"""Class-to-class similarities, ordered by superclass."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..errors import InputError
from .style import FAINT, SMALL, WIDTH, color, fitted, shown, spread, styled, text_width, wrapped

_NAMED_CLASSES = 36  # more rows than this are too thin for a name each
_LONGEST_NAME = 22
# Inches: the largest matrix, a bar of superclasses, the line to a superclass's name, the space
# between two matrices, and that for the colour scale below.
_LARGEST_MATRIX = 5.0
_BAR = 0.11
_LEADER = 0.25
_GAP = 0.4
_SCALE = 0.65
_LINE = 1.25  # heights of a font to a line of text


@styled
def affinity(
    similarities: Mapping[str, np.ndarray],
    superclasses: np.ndarray,
    *,
    superclass_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    similarity_names: Mapping[str, str] | None = None,
) -> Figure:
    """HIER's Figure 5: mean similarity of every two classes, ordered and coloured by superclass.

    A method that found the superclasses shows bright blocks on the diagonal.

    Args:
        similarities: one or two methods by name, each (C, C), as
            :func:`~pml_hyperbolic.analysis.class_similarities` gives them; NaN stays blank.
        superclasses: (C,) integers from 0.
        superclass_names: by number. Default the numbers.
        class_names: by row; drawn for up to 36 classes, beside a single method's matrix only.
        similarity_names: what each method's values are, for its colour bar. Default "similarity".

    Returns:
        The figure. Each matrix has its own colour scale, from its smallest to its largest value.

    Raises:
        InputError: no or more than two methods, or shapes that do not fit.
    """
    superclasses, order = _checked(similarities, superclasses, superclass_names, class_names)
    ordered = superclasses[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    ends = np.append(starts[1:], len(ordered))
    names = range(ordered.max() + 1) if superclass_names is None else superclass_names
    group_texts = [shown(names[ordered[start]], _LONGEST_NAME) for start in starts]
    class_texts = []
    if class_names is not None and len(similarities) == 1 and len(order) <= _NAMED_CLASSES:
        class_texts = [shown(class_names[row], _LONGEST_NAME) for row in order]
    class_width = max(map(text_width, class_texts)) + 0.08 if class_texts else 0.0
    left = max(map(text_width, group_texts)) + _LEADER + class_width + _BAR + 0.2
    if len(similarities) == 1:
        side = min(WIDTH - left - 0.15, _LARGEST_MATRIX)
        left = max(left, (WIDTH - side) / 2)
    else:
        side = (WIDTH - left - _GAP - 0.1) / 2
    room = int(side / (_LINE * SMALL / 72))
    kept = np.sort(np.argsort(starts - ends, kind="stable")[:room])  # the largest superclasses
    rows = "Rows and columns are classes" + ("" if class_texts else ", not named one by one")
    sentence = f"{rows}, ordered by superclass (coloured bars, white lines)."
    sentence += " Each matrix has a colour scale of its own." if len(similarities) > 1 else ""
    if len(kept) < len(starts):
        sentence += f" Named: the {len(kept)} largest of {len(starts)} superclasses."
    text = wrapped(sentence, WIDTH - 0.3)
    note_height = (text.count("\n") + 1) * SMALL * 1.35 / 72 + 0.1
    top = 0.3 + _BAR + 0.1
    height = top + side + _SCALE + note_height
    figure = Figure(figsize=(WIDTH, height))
    for number, (title, matrix) in enumerate(similarities.items()):
        x = left + number * (side + _GAP)
        bottom = _SCALE + note_height
        axes = figure.add_axes((x / WIDTH, bottom / height, side / WIDTH, side / height))
        image = axes.imshow(
            np.asarray(matrix, float)[np.ix_(order, order)], cmap="cividis", interpolation="nearest"
        )
        figure.text(
            (x + side / 2) / WIDTH,
            1 - 0.08 / height,
            fitted(title, side, 9.5),
            fontsize=9.5,
            ha="center",
            va="top",
        )
        unit = len(order) / side  # rows an inch
        _draw_groups(axes, starts, ends, unit)
        if number == 0:
            edge = _draw_class_names(axes, class_texts, class_width, unit)
            middles = (starts + ends - 1)[kept] / 2
            _draw_group_names(axes, kept, middles, group_texts, edge, unit)
        scale = figure.add_axes(
            (
                (x + 0.1 * side) / WIDTH,
                (bottom - 0.22) / height,
                0.8 * side / WIDTH,
                0.1 / height,
            )
        )
        label = (similarity_names or {}).get(title, "similarity")
        figure.colorbar(image, cax=scale, orientation="horizontal", label=f"mean {label}")
    figure.text(0.15 / WIDTH, (note_height - 0.05) / height, text, fontsize=SMALL, va="top")
    return figure


def superclass_order(superclasses: np.ndarray) -> np.ndarray:
    """(C,) classes by superclass, and by number within one."""
    return np.argsort(superclasses, kind="stable")


def _checked(similarities, superclasses, superclass_names, class_names):
    if not 1 <= len(similarities) <= 2:
        raise InputError(f"give the similarities of one or two methods, got {len(similarities)}")
    superclasses = np.asarray(superclasses)
    count = len(superclasses)
    if superclasses.ndim != 1 or superclasses.dtype.kind not in "iu" or superclasses.min() < 0:
        raise InputError(
            f"superclasses must be integers from 0, one a class, got {superclasses.dtype} "
            f"of shape {superclasses.shape}"
        )
    for title, matrix in similarities.items():
        if np.shape(matrix) != (count, count):
            raise InputError(
                f"similarities of {title!r} must have shape {(count, count)} for {count} classes, "
                f"got {np.shape(matrix)}"
            )
    if superclass_names is not None and len(superclass_names) <= superclasses.max():
        raise InputError(
            f"got {len(superclass_names)} superclass names for superclasses up to "
            f"{superclasses.max()}"
        )
    if class_names is not None and len(class_names) != count:
        raise InputError(f"got {len(class_names)} class names for {count} classes")
    return superclasses, superclass_order(superclasses)


def _draw_groups(axes: Axes, starts, ends, unit) -> None:
    """Coloured bars along two sides, and lines between the superclasses."""
    far = -0.5 - (_BAR + 0.04) * unit
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        low, size = start - 0.5, end - start
        for corner, width, height in (
            ((far, low), _BAR * unit, size),
            ((low, far), size, _BAR * unit),
        ):
            axes.add_patch(
                Rectangle(corner, width, height, color=color(number), linewidth=0, clip_on=False)
            )
        if start:
            axes.axhline(low, color="white", linewidth=0.5)
            axes.axvline(low, color="white", linewidth=0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_class_names(axes: Axes, texts, width, unit) -> float:
    """The classes' names at the left, if any; returns where the next text may start."""
    edge = -0.5 - (_BAR + 0.09) * unit
    for row, text in enumerate(texts):
        axes.text(edge, row, text, fontsize=SMALL, ha="right", va="center", gid="class name")
    return edge - width * unit


def _draw_group_names(axes: Axes, groups, middles, texts, edge, unit) -> None:
    """The superclasses' names at the left, each with a line to its rows."""
    count = axes.get_ylim()[0] + 0.5
    places = spread(middles, _LINE * SMALL / 72 * unit, 0, count - 1)
    far = edge - _LEADER * unit
    limits = axes.get_xlim(), axes.get_ylim()
    for group, middle, place in zip(groups, middles, places, strict=True):
        axes.plot(
            [edge, far + 0.03 * unit],
            [middle, place],
            color=FAINT,
            linewidth=0.5,
            clip_on=False,
            gid="leader",
        )
        axes.text(
            far,
            place,
            texts[group],
            fontsize=SMALL,
            color=color(group),
            ha="right",
            va="center",
            gid="superclass name",
        )
    axes.set(xlim=limits[0], ylim=limits[1])
