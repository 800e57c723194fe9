"""The line that every table lacks: what the networks score before any training."""

from collections.abc import Sequence

from ..reporting.cells import percent
from ..reporting.score_group import ScoreGroup
from ..reporting.tables import Table
from ..reporting.untrained_lines import UntrainedLine, lines_above, untrained_notes
from ..results.metric_names import PRIMARY, TITLES
from .section import Section


def untrained_section(
    groups: Sequence[ScoreGroup], lines: Sequence[UntrainedLine], missing: Sequence[str] = ()
) -> Section:
    """Return the scores of the untrained networks and the methods that fall below them.

    Args:
        groups: all lines.
        lines: of the untrained networks; empty for runs that did not store them.
        missing: sentences on lines that were not stored. Default none.
    """
    rows = [
        [line.name, str(line.dimension), *(percent(line.test[metric]) for metric in TITLES)]
        for line in lines
    ]
    sentences = untrained_notes(groups, lines)
    if lines and not any(lines_above(group, lines) for group in groups):
        highest = max(lines, key=lambda line: line.mean(PRIMARY))
        sentences.append(
            f"Every method exceeds the {highest.name} ({100 * highest.mean(PRIMARY):.1f}% MAP@R "
            f"at {highest.dimension} dimensions)."
        )
    return Section(
        "untrained",
        "Before any training",
        sentences=sentences,
        tables=[Table("", ["embedding", "dim", *TITLES.values()], rows)] if rows else [],
        problems=missing,
    )
