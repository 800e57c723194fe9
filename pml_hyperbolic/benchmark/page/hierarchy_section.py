"""The section on levels of labels, and on whether an embedding found the hierarchy."""

from ..reporting.tables import Passage, Table
from .section import Section


def hierarchy_section(passage: Passage | None, levels_table: Table | None) -> Section:
    """Return the scores on coarser levels, and measures of the hierarchy of every line.

    Args:
        passage: of the report, None if it has none.
        levels_table: of the scores on coarser levels, None if there are none.
    """
    passage = passage or Passage("")
    return Section(
        "hierarchy",
        "Levels and hierarchy",
        sentences=passage.sentences,
        tables=[*([] if levels_table is None else [levels_table]), *passage.tables],
        problems=passage.problems,
    )
