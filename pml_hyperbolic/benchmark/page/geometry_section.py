"""The section that asks whether a hyperbolic result is hyperbolic at all."""

from collections.abc import Sequence

from ...analysis.geometry_facts import GeometryFacts, geometry_facts
from ...errors import InputError
from ..measuring.run_contents import distance_of, test_set
from ..reporting.score_group import ScoreGroup
from ..reporting.tables import Table
from .section import Section

_HEADER = [
    "method",
    "c",
    "clip radius",
    "at clip radius",
    "mean radius",
    "spread of radii",
    "shared with cosine top 10",
    "Gromov delta",
    "suggested c",
]


def geometry_section(groups: Sequence[ScoreGroup], findings: Sequence[str]) -> Section:
    """Return the facts on each hyperbolic line, with one sentence each, and the flat twins.

    Args:
        groups: all lines; Euclidean ones have no curvature to ask about.
        findings: sentences of the curvature control.
    """
    rows, sentences, problems = [], [], []
    for group in groups:
        if group.space != "hyperbolic":
            continue
        try:
            facts = _facts(group)
        except InputError as error:
            problems.append(f"{group.title}: {error}")
            continue
        geometry = group.first.geometry
        clip = None if geometry is None else geometry.clip_radius
        rows.append(
            [
                group.title,
                "-" if geometry is None else f"{geometry.c:g}",
                "-" if clip is None else f"{clip:g}",
                f"{facts.saturation:.0%}",
                f"{facts.mean_radius:.2f}",
                f"{facts.radius_spread:.1%}",
                f"{facts.cosine_agreement:.1%}",
                "-" if facts.relative_delta is None else f"{facts.relative_delta:.3f}",
                "-" if facts.suggested_c is None else f"{facts.suggested_c:.2g}",
            ]
        )
        sentences.append(f"{group.title}: {facts.sentence}")
    if rows:
        sentences.append(
            "Radii are tangent norms after clipping; their spread is the standard deviation over "
            "the mean. Gromov's delta, relative to the diameter, is 0 for a tree. All are measured "
            "on the test embeddings of one run."
        )
    tables = [Table("", _HEADER, rows)] if rows else []
    return Section(
        "geometry",
        "Is it hyperbolic at all?",
        sentences=[*sentences, *findings],
        tables=tables,
        problems=problems,
    )


def _facts(group: ScoreGroup) -> GeometryFacts:
    key = min(group.runs)
    run, row = group.runs[key], group.rows[key]
    distance = distance_of(row)
    if distance is None:
        raise InputError("its rows do not say which distance ranks it")
    try:
        return geometry_facts(test_set(run, group.space).embeddings, distance)
    except ValueError as error:
        raise InputError(str(error)) from None
