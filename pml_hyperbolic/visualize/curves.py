"""Learning curves with their spread over seeds."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..errors import InputError
from .style import LEGEND_NAME, legend_beside, new_figure, note, series, shown, styled

_FEW = 4  # bands of more methods are paler, so that lines stay visible through all of them


class LearningCurves(NamedTuple):
    """A method's score over training.

    Args:
        epochs: (E,) ascending.
        values: (S, E), a row a seed; NaN where a seed has no score.
    """

    epochs: np.ndarray
    values: np.ndarray


@styled
def curves(
    methods: Mapping[str, LearningCurves],
    *,
    metric: str = "validation MAP@R (%)",
    reference: float | None = None,
    reference_name: str = "untrained features",
) -> Figure:
    """Learning curves: the mean over seeds, and the band from the lowest to the highest seed.

    Args:
        methods: by name, at least one.
        metric: title of the vertical axis.
        reference: a score to draw as a horizontal line. Default none.
        reference_name: what that line is.

    Raises:
        InputError: no methods, or shapes that do not fit.
    """
    if not methods:
        raise InputError("give the curves of at least one method")
    figure = new_figure(height=3.8)
    axes = figure.add_subplot()
    for number, (name, curve) in enumerate(methods.items()):
        epochs, values = np.asarray(curve.epochs), np.asarray(curve.values, float)
        if values.ndim != 2 or not values.size or epochs.shape != values.shape[1:]:
            raise InputError(
                f"the curves of {name!r} must be epochs (E,) and values (seeds, E), "
                f"got {epochs.shape} and {values.shape}"
            )
        with warnings.catch_warnings():
            # An epoch that no seed has scored stays a gap.
            warnings.simplefilter("ignore", RuntimeWarning)
            mean, low, high = (f(values, axis=0) for f in (np.nanmean, np.nanmin, np.nanmax))
        look = series(number)
        if len(values) > 1:
            axes.fill_between(
                epochs,
                low,
                high,
                color=look["color"],
                alpha=0.18 if len(methods) <= _FEW else 0.09,
                linewidth=0,
            )
        axes.plot(
            epochs,
            mean,
            **look,
            linewidth=1.4,
            markersize=4,
            markevery=max(1, len(epochs) // 10),
            label=shown(name, LEGEND_NAME),
        )
    if reference is not None:
        axes.axhline(
            reference, color="black", linewidth=1, linestyle=(0, (1, 1.5)), label=reference_name
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel(metric)
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", integer=True)
    legend_beside(figure, *axes.get_legend_handles_labels())
    seeds = {len(curve.values) for curve in methods.values()}
    count = str(seeds.pop()) if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}"
    if count == "1":
        note(figure, "One seed: no spread is shown.")
    else:
        note(figure, f"Lines: mean of {count} seeds. Bands: lowest to highest seed.")
    return figure
