"""Learning curves of lines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ...visualize.curves import LearningCurves, curves
from ..measuring.run_contents import learning_curve
from ..reporting.score_group import ScoreGroup, by_seed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_curves(groups: Sequence[ScoreGroup]) -> "Figure":
    """Draw validation MAP@R over the epochs, with its spread over seeds.

    Args:
        groups: lines; those that recorded nothing are left out.

    Raises:
        InputError: none of them has recorded at least two epochs.
    """
    lines = curves_of(groups)
    if not lines:
        raise InputError("none of these runs recorded the validation scores of two epochs or more")
    return curves(lines)


def curves_of(groups: Sequence[ScoreGroup]) -> dict[str, LearningCurves]:
    """Return title -> validation MAP@R in percent, of lines that recorded at least two epochs."""
    lines = {}
    for group in groups:
        found = {key: learning_curve(run, group.space) for key, run in group.runs.items()}
        epochs = sorted({epoch for curve in found.values() for epoch in curve})
        rows = [
            [np.mean([found[key].get(epoch, np.nan) for key in repetition]) for epoch in epochs]
            for repetition in by_seed(found)
        ]
        if len(epochs) > 1:
            lines[group.title] = LearningCurves(np.array(epochs), 100 * np.array(rows))
    return lines
