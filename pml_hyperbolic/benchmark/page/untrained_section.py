"""The line that every table lacks: what the networks score before any training."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..reporting.score_group import ScoreGroup
from ..reporting.statistics import mean_interval
from ..reporting.tables import Table
from ..results.metric_names import PRIMARY, TITLES
from .section import Section


def untrained_section(groups: Sequence[ScoreGroup], lines: Sequence[Mapping[str, Any]]) -> Section:
    """Return the scores of the untrained networks and the methods that fall below them.

    Args:
        groups: all lines.
        lines: as ``untrained_scores`` stores them; empty for runs that did not.
    """
    if not lines:
        return Section(
            "untrained",
            "Before any training",
            problems=[
                "The scores of the untrained networks were not stored: run the benchmark again; "
                "finished runs are kept."
            ],
        )
    rows = [
        [
            line["name"],
            str(line["dimension"]),
            *(f"{100 * line['test'][metric]:.1f}" for metric in TITLES),
        ]
        for line in lines
    ]
    highest = max(lines, key=lambda line: line["test"][PRIMARY])
    bar = highest["test"][PRIMARY]
    below = [g.title for g in groups if mean_interval(g.values("test", PRIMARY)).mean < bar]
    if below:
        verdict = (
            f"Below the {highest['name']} ({100 * bar:.1f}% MAP@R) stay {', '.join(below)}: on "
            f"these test classes their training did more harm than good."
        )
    else:
        verdict = (
            f"Every method exceeds the {highest['name']} ({100 * bar:.1f}% MAP@R at "
            f"{highest['dimension']} dimensions)."
        )
    return Section(
        "untrained",
        "Before any training",
        sentences=[
            verdict,
            "Ranked by cosine similarity on the same test classes, with the weights that the runs "
            "of the first seed start from.",
        ],
        tables=[Table("", ["embedding", "dim", *TITLES.values()], rows)],
    )
