"""The section on dimension: what each method scores at several embedding dimensions."""

from collections.abc import Collection, Sequence

from ..reporting.benchmark_results import bare_name
from ..reporting.cells import percent
from ..reporting.score_group import ScoreGroup
from ..reporting.tables import Table
from ..results.metric_names import PRIMARY, TITLES
from .section import Section, page_figure


def dimension_section(groups: Sequence[ScoreGroup], twins: Collection[str]) -> Section:
    """Return accuracy over dimension, empty unless a method was run at several dimensions.

    Args:
        groups: all lines.
        twins: methods that are flat twins of others, which are left out.
    """
    from ...visualize.dimension import dimension
    from ..plotting.dimension import dimension_scores

    lines: dict[str, dict[int, ScoreGroup]] = {}
    for group in groups:
        if group.method not in twins:
            name = f"{bare_name(group.method)} ({group.space})"
            lines.setdefault(name, {}).setdefault(group.first.total_dimension, group)
    lines = {name: found for name, found in lines.items() if len(found) > 1}
    if not lines:
        return Section("dimension", "Embedding dimension")
    curves = {
        name: dimension_scores(
            {
                size: [100 * value for value in group.values("test", PRIMARY)]
                for size, group in found.items()
            }
        )
        for name, found in lines.items()
    }
    sizes = sorted({size for found in lines.values() for size in found})
    table = Table(
        "",
        ["method", *(f"{TITLES[PRIMARY]} at {size}" for size in sizes)],
        [
            [
                name,
                *(
                    percent(found[size].values("test", PRIMARY)) if size in found else "-"
                    for size in sizes
                ),
            ]
            for name, found in lines.items()
        ],
    )
    figure = page_figure(
        dimension(curves, metric="test MAP@R (%)"),
        "MAP@R on the test classes over the dimension of the whole embedding, with 95% "
        "t-intervals over seeds.",
        f"MAP@R of {', '.join(lines)} at the dimensions {', '.join(map(str, sizes))}; the numbers "
        f"stand in the table.",
    )
    return Section("dimension", "Embedding dimension", figures=[figure], tables=[table])
