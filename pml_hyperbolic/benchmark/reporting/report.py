"""Report: finished runs compared, in tables, sentences and numbers, but in no particular format."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..results.metric_names import PRIMARY
from .benchmark_results import BenchmarkResults
from .comparability import check_comparable
from .comparison import choose_baseline, compare, compare_validation, curvature_controls
from .findings import findings
from .notes import pairing_notes, reading_notes
from .records import records
from .score_group import score_groups
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
    folders: Iterable[Path], *, baseline: str | None = None, allowed: Collection[str] = ()
) -> Report:
    """Compare all finished runs in these folders.

    Args:
        folders: of benchmarks, methods or single runs.
        baseline: the method that others are compared with, or ``method/space``. Default: the
            config's, else the first Euclidean method.
        allowed: keys of ``comparability.CHECKS`` whose findings do not stop the report. Default
            none.

    Raises:
        InputError: there are no runs, they cannot be compared, or there is no such baseline.
    """
    results = BenchmarkResults.read(folders)
    reservations = check_comparable(results, allowed)
    groups = score_groups(results)
    reference, reason = choose_baseline(groups, baseline, results.baseline)
    twins = results.twins
    comparisons = compare(groups, reference, twins)
    controls = curvature_controls(groups, reference, comparisons[PRIMARY], twins)
    tables = [
        comparison_table(groups, comparisons[PRIMARY]),
        recall_table(groups),
        concatenated_table(groups),
        levels_table(groups),
        published_table(results, groups),
        validation_table(groups, compare_validation(groups, reference, twins)),
    ]
    return Report(
        tables=[table for table in tables if table is not None],
        findings=findings(groups, controls, twins, reference),
        notes=[
            *reading_notes(groups, reference, reason, comparisons[PRIMARY], twins),
            *pairing_notes(groups, reference, comparisons[PRIMARY]),
            *reservations,
        ],
        records=records(results, groups, reference, comparisons),
    )
