"""The section on training: learning curves on the validation classes."""

from collections.abc import Sequence

import numpy as np

from ..measuring.run_contents import learning_curve
from ..reporting.score_group import ScoreGroup, by_seed
from .section import Section, page_figure


def training_section(groups: Sequence[ScoreGroup]) -> Section:
    """Return the learning curves of all lines that recorded one.

    Args:
        groups: all lines.
    """
    from ...visualize.curves import LearningCurves, curves

    lines = {}
    for group in groups:
        epochs, values = _curve(group)
        if len(epochs) > 1:
            lines[group.title] = LearningCurves(epochs, 100 * values)
    if not lines:
        problem = "These runs recorded no learning curve of two epochs or more."
        return Section("training", "Training", problems=[problem])
    best = ", ".join(
        f"{name}: {np.nanmax(np.nanmean(curve.values, axis=0)):.1f}"
        for name, curve in lines.items()
    )
    figure = page_figure(
        curves(lines),
        "MAP@R on the validation classes during training: mean over seeds, and the band from the "
        "lowest to the highest seed. The checkpoint with the highest value is scored on the test "
        "classes.",
        f"Learning curves. Highest mean validation MAP@R: {best}.",
    )
    return Section("training", "Training", figures=[figure])


def _curve(group):
    """Return (E,) epochs and (S, E) values, a row for each repetition, NaN where unknown."""
    found = {key: learning_curve(run, group.space) for key, run in group.runs.items()}
    epochs = sorted({epoch for curve in found.values() for epoch in curve})
    rows = [
        [np.mean([found[key].get(epoch, np.nan) for key in repetition]) for epoch in epochs]
        for repetition in by_seed(found)
    ]
    return np.array(epochs), np.array(rows)
