"""The section with the tables that the verdict does not need."""

from collections.abc import Sequence

from ..reporting.tables import Table
from .section import Section


def scores_section(tables: Sequence[Table]) -> Section:
    """Return the tables of recall at K, of published numbers and of the validation classes.

    Args:
        tables: to show, in their order.
    """
    return Section("scores", "More scores", tables=tables)
