"""The section on cost: what each method needs in time, memory, parameters and trials."""

from collections.abc import Sequence

from ..reporting.benchmark_results import BenchmarkResults
from ..reporting.cells import NOTHING
from ..reporting.tables import Table
from ..results.finished_run import FinishedRun
from .section import Section

_HEADER = [
    "method",
    "runs",
    "seconds a run",
    "peak memory",
    "parameters of the trunk",
    "of the head",
    "of the loss",
    "search trials",
]


def cost_section(results: BenchmarkResults) -> Section:
    """Return the cost of each method.

    Args:
        results: all runs.
    """
    rows = [_row(method, results.of_method(method), results) for method in results.methods]
    total = sum(run.first.seconds for run in results.runs)
    machines = sorted({run.environment.machine or "an unknown machine" for run in results.runs})
    return Section(
        "cost",
        "Cost",
        sentences=[
            f"The {len(results.runs)} runs took {_duration(total)} in all, on "
            f"{' and '.join(machines)}."
        ],
        tables=[Table("", _HEADER, rows)],
        notes=[
            "Seconds are the mean over a method's runs, evaluation on the validation classes "
            "included; runs beside each other share the machine. Peak memory is the largest of a "
            "method's runs: of the whole process on a CPU, of the tensors on a GPU. Trials are "
            "those of the search that found the method's settings."
        ],
    )


def _row(method: str, runs: Sequence[FinishedRun], results: BenchmarkResults) -> list[str]:
    peaks = [run.environment.peak_memory for run in runs]
    known = [peak for peak in peaks if peak is not None]
    counts = runs[0].first.parameters
    trials = results.setting(method, "search_trials")
    return [
        method,
        str(len(runs)),
        f"{sum(run.first.seconds for run in runs) / len(runs):.1f}",
        f"{max(known):,.0f} MiB" if known else NOTHING,
        *(
            [NOTHING] * 3
            if counts is None
            else [f"{count:,}" for count in (counts.trunk, counts.head, counts.loss)]
        ),
        "not searched" if not trials else str(trials),
    ]


def _duration(seconds: float) -> str:
    """Return a number of seconds in words."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
