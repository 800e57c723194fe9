"""Report: finished runs compared, in tables, sentences and numbers, but in no particular format."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .compared_runs import ComparedRuns, compare_runs
from .comparison import compare_validation
from .findings import findings
from .notes import pairing_notes, reading_notes
from .records import records
from .tables import (
    Table,
    comparison_table,
    concatenated_table,
    levels_table,
    published_table,
    recall_table,
    validation_table,
)


@dataclass(frozen=True)
class Report:
    """Everything that a report says.

    Args:
        tables: the comparison first.
        findings: of the curvature control, one sentence a method.
        notes: how to read the tables, which checks were overridden, and what is unknown.
        records: the numbers of the lines, unrounded, in fractions of 1; the same keys in each.
    """

    tables: list[Table]
    findings: list[str]
    notes: list[str]
    records: list[dict[str, Any]]


def make_report(
    folders: Iterable[Path | tuple[str, Path]],
    *,
    baseline: str | None = None,
    allowed: Collection[str] = (),
) -> Report:
    """Compare all finished runs in these folders.

    Args: as :func:`~.compared_runs.compare_runs`.

    Raises:
        InputError: there are no runs, they cannot be compared, or there is no such baseline.
    """
    return report_of(compare_runs(folders, baseline=baseline, allowed=allowed))


def report_of(compared: ComparedRuns) -> Report:
    """Return what is to be said of compared runs."""
    results, groups, reference = compared.results, compared.groups, compared.baseline
    twins, comparisons = results.twins, compared.comparisons
    tables = [
        comparison_table(groups, compared.primary),
        recall_table(groups),
        concatenated_table(groups),
        levels_table(groups),
        published_table(results, groups),
        validation_table(groups, compare_validation(groups, reference, twins)),
    ]
    return Report(
        tables=[table for table in tables if table is not None],
        findings=findings(groups, compared.controls, twins, reference),
        notes=[
            *reading_notes(groups, reference, compared.reason, compared.primary, twins),
            *pairing_notes(groups, reference, compared.primary),
            *compared.reservations,
        ],
        records=records(results, groups, reference, comparisons),
    )
