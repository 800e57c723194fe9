"""Report: finished runs compared, in tables, sentences and numbers, but in no particular format."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .compared_runs import ComparedRuns, compare_runs
from .comparison import compare_validation
from .findings import findings
from .measured_lines import geometry_passage, hierarchy_passage, measured_lines
from .notes import pairing_notes, rate_notes, reading_notes
from .records import records
from .tables import (
    Passage,
    Table,
    comparison_table,
    concatenated_table,
    levels_table,
    published_table,
    rates_table,
    recall_table,
    validation_table,
)
from .untrained_lines import UntrainedLine, untrained_lines, untrained_notes


@dataclass(frozen=True)
class Report:
    """Everything that a report says.

    Args:
        tables: the comparison first.
        findings: of the curvature control, one sentence a method.
        notes: how to read the tables, which checks were overridden, and what is unknown.
        records: the numbers of the lines, unrounded, in fractions of 1; the same keys in each.
        geometry: whether the hyperbolic lines are hyperbolic at all; None if no line is.
        hierarchy: whether the embeddings found the hierarchy of the classes; None if not asked.
        untrained: the lines of the untrained networks, where the runs stored them.
        untrained_missing: sentences on those that they did not store.
    """

    tables: list[Table]
    findings: list[str]
    notes: list[str]
    records: list[dict[str, Any]]
    geometry: Passage | None = None
    hierarchy: Passage | None = None
    untrained: Sequence[UntrainedLine] = ()
    untrained_missing: Sequence[str] = ()


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
    untrained, missing = untrained_lines(results)
    measured = measured_lines(groups)
    tables = [
        comparison_table(groups, compared.primary, untrained),
        recall_table(groups),
        concatenated_table(groups),
        levels_table(groups, untrained),
        rates_table(results),
        published_table(results, groups),
        validation_table(groups, compare_validation(groups, reference, twins)),
    ]
    return Report(
        tables=[table for table in tables if table is not None],
        findings=findings(groups, compared.controls, twins, reference),
        notes=[
            *reading_notes(groups, reference, compared.reason, compared.primary, twins),
            *pairing_notes(groups, reference, compared.primary),
            *rate_notes(results, groups),
            *untrained_notes(groups, untrained),
            *missing,
            *compared.reservations,
        ],
        records=records(results, groups, reference, comparisons, measured, untrained),
        geometry=geometry_passage(measured, twins),
        hierarchy=hierarchy_passage(measured),
        untrained=untrained,
        untrained_missing=missing,
    )
