"""The first section: which methods are better, in one sentence and one figure."""

from collections.abc import Collection, Mapping, Sequence

from ..reporting.cells import percent
from ..reporting.comparison import Comparison
from ..reporting.score_group import ScoreGroup
from ..reporting.tables import Table
from ..results.metric_names import PRIMARY
from .section import Section, page_figure

# Inches: narrow enough to be read on a phone without scrolling.
_FOREST_WIDTH = 5.4


def verdict_section(
    groups: Sequence[ScoreGroup],
    baseline: ScoreGroup,
    comparisons: Mapping[int, Comparison],
    twins: Collection[str],
    table: Table,
    notes: Sequence[str],
) -> Section:
    """Return the verdict with the forest plot of differences and the main table.

    Args:
        groups: all lines.
        baseline: one of the lines.
        comparisons: number of a line -> its comparison in the primary metric.
        twins: methods that are flat twins of others: controls and not contenders.
        table: of the comparison.
        notes: how to read it.
    """
    figures = []
    if comparisons:
        figures.append(_forest(groups, baseline, comparisons))
    return Section(
        "verdict",
        "Verdict",
        sentences=[verdict_sentence(groups, baseline, comparisons, twins)],
        figures=figures,
        tables=[table],
        notes=notes,
    )


def verdict_sentence(
    groups: Sequence[ScoreGroup],
    baseline: ScoreGroup,
    comparisons: Mapping[int, Comparison],
    twins: Collection[str],
) -> str:
    """Return what the comparison of all contenders with the baseline has shown.

    Args: as :func:`verdict_section`.
    """
    score = percent(baseline.values("test", PRIMARY))
    start = f"{baseline.title} reaches {score}% MAP@R on the test classes"
    of: dict[str, list[str]] = {}
    for i, comparison in comparisons.items():
        if groups[i].method not in twins:
            of.setdefault(comparison.verdict, []).append(groups[i].title)
    if not of:
        return f"{start}; there is nothing to compare it with."
    parts = [
        _clause(of.get("better", []), "better", "no method is shown to be better"),
        _clause(of.get("worse", []), "worse", "none is shown to be worse"),
    ]
    if of.get("no difference shown"):
        parts.append(f"for {_listed(of['no difference shown'])} no difference is shown")
    if of.get("not tested"):
        parts.append(f"{_listed(of['not tested'])} could not be tested")
    return f"{start}: {'; '.join(parts)}."


def _clause(names, word, nothing):
    if not names:
        return nothing
    return f"{_listed(names)} {'is' if len(names) == 1 else 'are'} {word}"


def _listed(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _forest(groups, baseline, comparisons):
    from ...visualize.forest import forest
    from ..plotting.forest import differences

    lines = differences(groups, comparisons)
    figure = forest(lines, baseline=baseline.title, width=_FOREST_WIDTH)
    alternative = "; ".join(
        f"{line.name}: {line.value:+.1f} ({line.low:+.1f} to {line.high:+.1f}), {line.verdict}"
        for line in lines
    )
    caption = (
        f"Difference in MAP@R to {baseline.title} in percentage points, with 95% intervals; "
        f"better or worse means a p-value below 0.05 after Holm's correction."
    )
    return page_figure(figure, caption, f"Differences to {baseline.title}: {alternative}.")
