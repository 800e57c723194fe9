"""The report as one HTML page, every part of which may fail without the others."""

import errno
from collections.abc import Callable

from ...errors import InputError
from ...files import disk_failure
from ..reporting.compared_runs import ComparedRuns
from ..reporting.report import Report
from ..reporting.tables import LEVELS_TITLE
from .cost_section import cost_section
from .dimension_section import dimension_section
from .gallery_section import gallery_section
from .geometry_section import geometry_section
from .hierarchy_section import hierarchy_section
from .maps_section import maps_section
from .protocol_section import protocol_section
from .rendering import render_page
from .scores_section import scores_section
from .section import Section
from .training_section import training_section
from .untrained_section import untrained_section
from .verdict_section import verdict_section


def make_page(compared: ComparedRuns, report: Report, *, command: str | None = None) -> str:
    """Return the report as a self-contained HTML page with its figures.

    A part that cannot be made, because the data set is absent or a file is damaged for example,
    becomes a line that says why, and the rest of the page is made.

    Args:
        compared: the runs and how they compare.
        report: made of them.
        command: that makes the page, which shows it. Default none.

    Raises:
        OSError: the disk failed while a file was read, which the next call may well read.
    """
    groups, baseline, results = compared.groups, compared.baseline, compared.results
    tables = {table.title: table for table in report.tables}
    main, *others = report.tables

    makers: list[tuple[str, str, Callable[[], Section]]] = [
        (
            "verdict",
            "Verdict",
            lambda: verdict_section(
                groups, baseline, compared.primary, results.twins, main, report.notes
            ),
        ),
        (
            "geometry",
            "Is it hyperbolic at all?",
            lambda: geometry_section(report.geometry, report.findings),
        ),
        (
            "untrained",
            "Before any training",
            lambda: untrained_section(groups, report.untrained, report.untrained_missing),
        ),
        ("training", "Training", lambda: training_section(groups)),
        ("dimension", "Embedding dimension", lambda: dimension_section(groups, results.twins)),
        (
            "hierarchy",
            "Levels and hierarchy",
            lambda: hierarchy_section(report.hierarchy, tables.get(LEVELS_TITLE)),
        ),
        (
            "gallery",
            "Wins and losses",
            lambda: gallery_section(groups, baseline, results.twins),
        ),
        (
            "maps",
            "Maps of the embedding",
            lambda: maps_section(groups, baseline, results.twins),
        ),
        (
            "scores",
            "More scores",
            lambda: scores_section([t for t in others if t.title != LEVELS_TITLE]),
        ),
        ("cost", "Cost", lambda: cost_section(results)),
        (
            "protocol",
            "Protocol",
            lambda: protocol_section(results, compared.reservations, command),
        ),
    ]
    sections = [_guarded(name, title, make) for name, title, make in makers]
    return render_page(_title(compared), _subtitle(compared), sections, "Made by pml_hyperbolic.")


def _guarded(name: str, title: str, make: Callable[[], Section]) -> Section:
    """Return a section, or one that says why it could not be made."""
    try:
        return make()
    # Files of other versions and other hands hold whatever they hold: the page shows the rest.
    except Exception as error:
        failure = disk_failure(error, "a file of the runs")
        # A full disk can only concern the cache of images.
        if failure is not None and failure.errno == errno.EIO:
            raise failure from error
        problem = str(error)
        if not isinstance(error, (InputError, ImportError)):
            problem = f"This part could not be made ({type(error).__name__}: {error})."
    return Section(name, title, problems=[" ".join(problem.split())])


def _title(compared: ComparedRuns) -> str:
    configs = compared.results.configs
    names = list(dict.fromkeys(str(config["name"]) for config in configs if "name" in config))
    count = len(compared.results.methods)
    methods = "one method" if count == 1 else f"comparison of {count} methods"
    return f"{' and '.join(names) or 'Benchmark'}: {methods}"


def _subtitle(compared: ComparedRuns) -> str:
    runs = compared.results.runs
    hashes = list(dict.fromkeys(run.first.protocol_hash for run in runs))
    plural = "" if len(hashes) == 1 else "s"
    return f"{len(runs)} runs, protocol{plural} {', '.join(hashes)}"
