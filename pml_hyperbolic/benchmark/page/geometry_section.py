"""The section that asks whether a hyperbolic result is hyperbolic at all."""

from collections.abc import Sequence

from ..reporting.tables import Passage
from .section import Section


def geometry_section(passage: Passage | None, findings: Sequence[str]) -> Section:
    """Return the facts on each hyperbolic line, with one sentence each, and the flat twins.

    Args:
        passage: of the report, None if no line is hyperbolic.
        findings: sentences of the curvature control.
    """
    passage = passage or Passage("Is it hyperbolic at all?")
    return Section(
        "geometry",
        passage.title,
        sentences=[*passage.sentences, *findings],
        tables=passage.tables,
        problems=passage.problems,
    )
