"""Histograms of a batch's similarities to positive and negative classes."""

import textwrap
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..errors import InputError
from .style import RIGHT, WIDTH, WRONG, new_figure, note, shown, styled

_BINS = 50


class SimilaritySplit(NamedTuple):
    """A batch's similarities to classes.

    Args:
        positive: (A,) similarities of samples to their own class.
        negative: (B,) similarities of samples to other classes.
    """

    positive: np.ndarray
    negative: np.ndarray


def split_similarities(similarities: np.ndarray, labels: np.ndarray) -> SimilaritySplit:
    """A batch's similarities to all classes, split into positive and negative ones.

    Args:
        similarities: (N, C) similarities of the samples to the classes (to their proxies: with
            several a class, PML's SoftTriple value or the largest).
        labels: (N,) classes of the samples, 0 .. C-1.

    Raises:
        InputError: shapes or labels do not fit.
    """
    similarities, labels = np.asarray(similarities, float), np.asarray(labels)
    if similarities.ndim != 2 or labels.shape != similarities.shape[:1]:
        raise InputError(
            f"similarities must be (N, C) and labels (N,), got {similarities.shape} and "
            f"{labels.shape}"
        )
    if labels.size and (labels.min() < 0 or labels.max() >= similarities.shape[1]):
        raise InputError(
            f"labels must lie between 0 and {similarities.shape[1] - 1}, "
            f"got {labels.min()} to {labels.max()}"
        )
    own = np.zeros(similarities.shape, bool)
    own[np.arange(len(labels)), labels] = True
    return SimilaritySplit(similarities[own], similarities[~own])


@styled
def similarities(
    models: Mapping[str, SimilaritySplit],
    *,
    similarity_name: str = "similarity to the class",
    remark: str = "",
) -> Figure:
    """CHEST's Figure 3: similarities of a batch to positive and negative classes.

    One panel a model, beside each other on the same axes; each histogram has an area of 1. The
    number is the share of (positive, negative) pairs in which the positive is more similar (the
    area under the ROC curve).

    Args:
        models: by name, for example with and without the Euclidean loss.
        similarity_name: title of the horizontal axis.
        remark: sentences to write below, such as what the similarities are of each model.

    Raises:
        InputError: no models, or one without positive or without negative similarities.
    """
    if not models:
        raise InputError("give the similarities of at least one model")
    for name, split in models.items():
        for part, values in split._asdict().items():
            if not np.size(values) or not np.isfinite(values).all():
                raise InputError(
                    f"the {part} similarities of {name!r} must be finite and at least one"
                )
    columns = min(len(models), 3)
    rows = -(-len(models) // columns)
    figure = new_figure(WIDTH, 0.9 + 2.1 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    every = np.concatenate([np.ravel(part) for split in models.values() for part in split])
    low, high = every.min(), every.max()
    margin = 0.02 * (high - low) or 0.5
    edges = np.linspace(low - margin, high + margin, _BINS + 1)
    for axes, (name, split) in zip(panels, models.items(), strict=False):
        for values, colour, label in (
            (split.negative, WRONG, "negative classes"),
            (split.positive, RIGHT, "positive class"),
        ):
            heights = np.histogram(values, edges, density=True)[0]
            positive = label == "positive class"
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.35)
            axes.stairs(
                heights,
                edges,
                color=colour,
                linewidth=1.2,
                linestyle="-" if positive else "--",
                label=label,
            )
        title = textwrap.fill(shown(name, 60), int(78 / columns))
        axes.set_title(f"{title}\nAUC {separation(split):.3f}")
    for axes in panels[len(models) :]:
        axes.set_axis_off()
    for number, axes in enumerate(panels[: len(models)]):
        if number + columns >= len(models):
            axes.set_xlabel(similarity_name)
            axes.tick_params(labelbottom=True)
        if number % columns == 0:
            axes.set_ylabel("density")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2)
    sentence = "AUC: share of (positive, negative) pairs in which the positive is more similar."
    note(figure, f"{sentence} {remark}".rstrip())
    return figure


def separation(split: SimilaritySplit) -> float:
    """The share of (positive, negative) pairs with the positive more similar; ties count half."""
    negative = np.sort(np.ravel(split.negative))
    below = np.searchsorted(negative, split.positive, "left")
    up_to = np.searchsorted(negative, split.positive, "right")
    return float((below + up_to).mean() / (2 * len(negative)))
