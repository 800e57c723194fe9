"""The section of pictures: queries that a method wins and loses against the baseline."""

from collections.abc import Collection, Sequence

import numpy as np

from ...errors import InputError, message_of
from ..plotting.gathering import line_set
from ..plotting.run_line import RunLine
from ..reporting.score_group import ScoreGroup, common_keys
from ..results.metric_names import PRIMARY
from .section import PageFigure, Section, page_figure

_RESULTS = 6


def gallery_section(
    groups: Sequence[ScoreGroup], baseline: ScoreGroup, twins: Collection[str]
) -> Section:
    """Return the largest wins and losses of the best other line, and queries drawn at random.

    Args:
        groups: all lines.
        baseline: one of the lines.
        twins: methods that are flat twins of others: controls and not contenders.
    """
    title = "Wins and losses"
    others = [
        group
        for group in groups
        if group is not baseline and group.method not in twins and common_keys((group, baseline))
    ]
    if not others:
        return Section("gallery", title)
    best = max(others, key=lambda group: np.mean(group.values("test", PRIMARY)))
    try:
        figure = _figure(best, baseline)
    except InputError as error:
        return Section("gallery", title, problems=[message_of(error)])
    return Section(
        "gallery",
        title,
        sentences=[
            f"{best.title} is the best line besides the baseline. Shown are the queries on which "
            f"its average precision exceeds that of {baseline.title} most, those on which it falls "
            f"behind most, and queries drawn at random: none is picked by hand."
        ],
        figures=[figure],
    )


def _figure(group: ScoreGroup, baseline: ScoreGroup) -> PageFigure:
    from ..plotting.retrieval import draw_retrieval

    key = min(common_keys((group, baseline)))
    lines = [RunLine(line.runs[key], line.space, line.title) for line in (group, baseline)]
    return page_figure(
        draw_retrieval([line_set(line) for line in lines], k=_RESULTS),
        f"Queries (black frames) and their {_RESULTS} nearest images by {group.title} and by "
        f"{baseline.title}; a solid blue frame marks the right class, a dashed orange one a wrong "
        f"class. Fold {key[0]}, seed {key[1]}.",
        f"The {_RESULTS} nearest images by {group.title} and by {baseline.title} of queries with "
        f"the largest wins and losses, and of queries drawn at random.",
        photographs=True,
    )
