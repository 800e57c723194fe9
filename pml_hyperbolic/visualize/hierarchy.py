"""A dendrogram with superclasses and example images at its leaves."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..analysis.tree import Tree
from ..errors import InputError
from .image_grid import image_array
from .style import FAINT, SMALL, WIDTH, color, marker, new_figure, note, shown, styled, text_width

_ROW = 0.145  # inches a leaf without image
_PICTURE_ROW = 0.36  # inches a leaf with images
_LONGEST_NAME = 30


@styled
def hierarchy(
    tree: Tree,
    *,
    names: Sequence[str] | None = None,
    superclasses: np.ndarray | None = None,
    superclass_names: Sequence[str] | None = None,
    examples: np.ndarray | None = None,
    image: Callable[[int], Any] | None = None,
    height_name: str = "height of the merge",
    title: str = "",
) -> Figure:
    """The dendrogram of learned proxies or of class means, with example images at the leaves.

    A subtree of at least two leaves, all of one superclass, is drawn in its colour, everything else
    in grey: a hierarchy that was found shows large coloured subtrees.

    Args:
        tree: with L leaves.
        names: (L,) names of the leaves. Default their numbers.
        superclasses: (L,) integers from 0. Default all branches grey.
        superclass_names: by number. Default the numbers.
        examples: (L, E) indices of example images of each leaf.
        image: the image of an example by its index; needed with ``examples``.
        height_name: title of the horizontal axis.
        title: of the figure.

    Returns:
        The figure, as tall as the tree has leaves (0.15 inches each, 0.36 with images). Where all
        merges lie far from 0 the axis starts below the lowest of them, which the sentence says.

    Raises:
        InputError: shapes do not fit, or examples without ``image``.
    """
    count = tree.num_leaves
    superclasses = _checked(count, names, superclasses, superclass_names, examples, image)
    order = tree.leaf_order()
    row_of = np.empty(count, int)
    row_of[order] = np.arange(count)
    row_height = _ROW if examples is None else _PICTURE_ROW
    groups = [] if superclasses is None else list(np.unique(superclasses))
    floor, top = _height_range(tree)
    figure = new_figure(WIDTH, count * row_height + 1.3 + 0.17 * (-(-len(groups) // 4)))
    axes = figure.add_subplot()
    _draw_branches(axes, tree, row_of, superclasses, groups, floor)
    texts = [shown(name, _LONGEST_NAME) for name in (range(count) if names is None else names)]
    widest = max(map(text_width, texts))
    pictures = 0 if examples is None else examples.shape[1]
    beside = 0.2 + widest + pictures * _PICTURE_ROW  # inches to the right of the tree
    unit = (top - floor) / max(1.5, WIDTH - beside - 0.6)  # heights an inch
    for leaf, text in enumerate(texts):
        row = row_of[leaf]
        group = None if superclasses is None else groups.index(superclasses[leaf])
        if group is not None:
            axes.plot(
                floor - 0.06 * unit,
                row,
                marker=marker(group),
                color=color(group),
                markersize=4,
                markeredgewidth=0,
                clip_on=False,
            )
        axes.text(
            floor - 0.14 * unit,
            row,
            text,
            fontsize=SMALL,
            va="center",
            color="black" if group is None else color(group),
            gid="leaf",
        )
        if examples is None or image is None:  # both are given, or neither
            continue
        for place in range(pictures):
            index = int(examples[leaf, place])
            picture = image_array(image(index), f"example {index}")
            left = floor - (0.2 + widest + place * _PICTURE_ROW) * unit
            _draw_example(axes, picture, left, row, unit)
    span = 1.02 * (top - floor)
    axes.set_xlim(floor + span, floor - beside * unit)
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_bounds(floor, top)
    ticks = MaxNLocator(5).tick_values(floor, top)
    axes.set_xticks([tick for tick in ticks if floor <= tick <= top])
    axes.set_xlabel(height_name, x=0.5 * span / (span + beside * unit))
    axes.set_title(title)
    if groups:
        handles = [
            axes.plot([], [], linestyle="none", color=color(i), marker=marker(i), markersize=4.5)[0]
            for i in range(len(groups))
        ]
        named = groups if superclass_names is None else [superclass_names[g] for g in groups]
        figure.legend(
            handles,
            [shown(name, 24) for name in named],
            loc="outside upper center",
            ncols=min(4, len(groups)),
            handletextpad=0.3,
        )
    sentence = "Leaves that merge further right are closer."
    sentence += f" The axis starts at {floor:.3g}." if floor else ""
    if groups:
        sentence += " Subtrees of one superclass have its colour; mixed ones are grey."
    note(figure, sentence)
    return figure


def _height_range(tree):
    """Where the axis of heights starts and ends: at 0, or a little below merges far from it."""
    merges = tree.heights[tree.num_leaves :]
    low, top = float(merges.min()), float(merges.max())
    floor = low - 0.15 * (top - low) if top > low > 0.5 * top else 0.0
    return (floor, top) if top > floor else (0.0, 1.0)


def _checked(count, names, superclasses, superclass_names, examples, image):
    if names is not None and len(names) != count:
        raise InputError(f"got {len(names)} names for {count} leaves")
    if superclasses is not None:
        superclasses = np.asarray(superclasses)
        if superclasses.shape != (count,) or superclasses.dtype.kind not in "iu":
            raise InputError(
                f"superclasses must be {count} integers, got {superclasses.dtype} of shape "
                f"{superclasses.shape}"
            )
        if superclass_names is not None and len(superclass_names) <= superclasses.max():
            raise InputError(
                f"got {len(superclass_names)} superclass names for superclasses up to "
                f"{superclasses.max()}"
            )
    if (examples is None) != (image is None):
        raise InputError("examples and image go together: give both or neither")
    if examples is not None and (np.ndim(examples) != 2 or len(examples) != count):
        raise InputError(f"examples must have shape ({count}, E), got {np.shape(examples)}")
    return superclasses


def _draw_branches(axes, tree, row_of, superclasses, groups, floor):
    """The brackets of the dendrogram, coloured where only one superclass is below."""
    rows = np.zeros(len(tree.parents))
    only = np.full(len(tree.parents), -1)  # the one superclass below a node, or -1
    rows[: tree.num_leaves] = row_of
    if superclasses is not None:
        only[: tree.num_leaves] = [groups.index(group) for group in superclasses]
    segments, colours = [], []
    for node, below in enumerate(tree.children()):
        if not below:
            continue
        kinds = {only[child] for child in below}
        only[node] = kinds.pop() if len(kinds) == 1 else -1
        rows[node] = (rows[below].min() + rows[below].max()) / 2
        height = tree.heights[node]
        segments.append([(height, rows[below].min()), (height, rows[below].max())])
        colours.append(only[node])
        for child in below:
            foot = max(tree.heights[child], floor)
            segments.append([(height, rows[child]), (foot, rows[child])])
            # A leaf alone is of one superclass always: only its company says something.
            colours.append(only[child] if child >= tree.num_leaves else only[node])
    axes.add_collection(
        LineCollection(
            segments,
            colors=[FAINT if kind < 0 else color(kind) for kind in colours],
            linewidths=[0.9 if kind < 0 else 1.5 for kind in colours],
            gid="branches",
        )
    )


def _draw_example(axes, picture, left, row, unit):
    """An image beside a leaf; the horizontal axis counts heights, downward from the root."""
    height, width = picture.shape[:2]
    scale = 0.94 / max(height, width)
    wide, tall = width * scale * _PICTURE_ROW * unit, height * scale
    axes.imshow(
        picture,
        extent=(left, left - wide, row + tall / 2, row - tall / 2),
        cmap="gray" if picture.ndim == 2 else None,
        aspect="auto",
        zorder=1,
    )
