"""The section on training: learning curves on the validation classes."""

from collections.abc import Sequence

import numpy as np

from ..reporting.score_group import ScoreGroup
from .section import Section, page_figure


def training_section(groups: Sequence[ScoreGroup]) -> Section:
    """Return the learning curves of all lines that recorded one.

    Args:
        groups: all lines.
    """
    from ...visualize.curves import curves
    from ..plotting.curves import curves_of

    lines = curves_of(groups)
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
