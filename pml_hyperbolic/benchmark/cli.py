"""The command ``pml-hyperbolic``. Exit status: 0 done, 1 the work failed, 2 the input is wrong."""

import argparse
import logging
import re
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..argument_types import count
from ..embedder.commands import add_embedder_commands
from ..errors import InputError, nearest
from ..escaping import show, show_line
from ..files import explain_os_error, is_storage_failure, write_text
from .packages import package_of_module
from .plotting.commands import add_plot_command

if TYPE_CHECKING:
    from .config import BenchmarkConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; ``arguments`` default to the process's own."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in arguments
    # It tells that it lists the system's fonts, in a machine's first run; figures have a font of
    # matplotlib's own.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    try:
        options = _parse(arguments)
        options.words = shlex.join(["pml-hyperbolic", *arguments])
        return options.command(options)
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            show(traceback.format_exc(), sys.stderr)
        message, status = _explain(error)
        show_line(f"pml-hyperbolic: {' '.join(message.split())}", sys.stderr)
        return status


class _OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors take one line, like all errors of this command."""

    def error(self, message):
        raise InputError(f"{message} (see {self.prog} --help)")


def _parse(arguments):
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    # argparse takes positional arguments from one place only, but overrides may follow options.
    overrides = [word for word in rest if hasattr(options, "overrides") and word[:1] != "-"]
    unknown = [word for word in rest if word not in overrides]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if overrides:
        options.overrides += overrides
    return options


def _explain(error):
    """One line for stderr, and the exit status."""
    if isinstance(error, InputError):
        return str(error), 2
    if isinstance(error, ModuleNotFoundError):
        package = package_of_module(error.name or "")
        if package is not None:
            return (
                f"{package} is missing: install the extra `benchmark` with "
                f"pip install 'pml-hyperbolic[benchmark]'"
            ), 2
    if isinstance(error, ImportError) and error.name == "pytorch_metric_learning":
        return str(error), 2
    if isinstance(error, OSError) and is_storage_failure(error):
        return explain_os_error(error), 1
    if isinstance(error, KeyboardInterrupt):
        return "interrupted: finished work is kept; run again to do the rest", 1
    return f"{type(error).__name__}: {error} (pass --debug for the traceback)", 1


def _parser():
    parser = _OneLineParser(prog="pml-hyperbolic", description=__doc__.replace("``", ""))
    parser.add_argument("--version", action="version", version=f"pml-hyperbolic {__version__}")
    common = _OneLineParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def add(name, command, text):
        sub = commands.add_parser(name, parents=[common], help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    run = add("run", _run, "do all unfinished runs of a benchmark, then show the table")
    check = add("validate", _validate, "check a benchmark config and all its methods")
    search = add(
        "search", _search, "tune all methods equally on validation classes; write a new config"
    )
    curvature = add(
        "curvature", _curvature, "suggest a curvature from the training images (Gromov's delta)"
    )
    for sub in (run, check, search, curvature):
        sub.add_argument(
            "config",
            type=Path,
            metavar="CONFIG",
            help="YAML file of a benchmark, or the name of a shipped one, such as digits",
        )
        sub.add_argument(
            "overrides",
            nargs="*",
            metavar="key=value",
            help="override a value of the config, e.g. protocol.epochs=3 or "
            "methods.chest.loss_lr=1; an override of a swept key selects that value",
        )
    run.add_argument(
        "--jobs",
        type=count,
        metavar="N",
        help="number of runs at a time; results do not depend on it (default: as many as there are "
        "cores for)",
    )
    for sub in (run, search):
        sub.add_argument(
            "--output",
            type=Path,
            default=Path("runs"),
            metavar="DIR",
            help="folder that holds a folder for each benchmark (default: runs)",
        )
    search.add_argument(
        "--trials", type=count, required=True, metavar="N", help="number of trials of each method"
    )
    search.add_argument(
        "--seeds",
        type=count,
        default=1,
        metavar="N",
        help="number of the protocol's seeds that each trial trains with (default: 1)",
    )
    search.add_argument(
        "--storage",
        metavar="URL",
        help="database shared by all workers, e.g. postgresql://host/database "
        "(default: a file in the output folder)",
    )
    search.add_argument(
        "--jobs",
        type=count,
        default=1,
        metavar="N",
        help="number of worker processes; with more than one, the proposed settings depend on "
        "timing (default: 1)",
    )
    run.add_argument("--tensorboard", action="store_true", help="write TensorBoard events too")
    run.add_argument("--no-page", action="store_true", help="do not write report.html")
    report = add("report", _report, "compare all finished runs of one or several benchmarks")
    report.add_argument(
        "runs",
        nargs="+",
        type=_named_folder,
        metavar="RUNS",
        help="folder of a benchmark, such as runs/digits, or NAME=FOLDER, which puts the name in "
        "front of its methods",
    )
    report.add_argument("--markdown", action="store_true", help="show Markdown instead of text")
    report.add_argument(
        "--baseline",
        metavar="NAME",
        help="method, or method/space, to compare the others with (default: the config's, else the "
        "first Euclidean one)",
    )
    report.add_argument(
        "--write",
        type=Path,
        metavar="DIR",
        help="write report.html, a page with figures, and report.md, report.csv and report.tex too",
    )
    report.add_argument(
        "--allow",
        nargs="+",
        action="extend",
        default=[],
        metavar="KIND",
        help="report despite different protocols, data, versions, parameters, seeds or trials; the "
        "notes say so",
    )
    for sub in (run, report):
        sub.add_argument("--open", action="store_true", help="show the page in the browser")
    listing = add("list", _list, "list data sets, backbones, methods, losses and configs")
    listing.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="DIR",
        help="folder of configs (default: the shipped ones)",
    )
    listing.add_argument(
        "--arguments",
        action="store_true",
        help="show the arguments of data sets, backbones, losses, ... with their defaults",
    )
    add_embedder_commands(add)
    add_plot_command(add)
    add("doctor", _doctor, "report what is installed, what conflicts and what is missing")
    return parser


def _named_folder(text):
    """A folder, or (name, folder) of NAME=FOLDER."""
    from .config.strict_model import NAME_PATTERN

    name, equals, folder = text.partition("=")
    if not equals or Path(text).exists():
        return Path(text)
    if not re.fullmatch(NAME_PATTERN, name) or not folder:
        raise argparse.ArgumentTypeError(
            f"expected FOLDER or NAME=FOLDER with a name of letters, digits and . _ -, got {text!r}"
        )
    return name, Path(folder)


def _run(options):
    from .config import load_benchmarks
    from .running.process_group import over_processes

    configs = load_benchmarks(options.config, options.overrides)
    return over_processes(
        configs[0].protocol.device,
        lambda: max(_lead(config, options) for config in _announced(configs)),
    )


def _announced(configs: "Sequence[BenchmarkConfig]") -> "Iterator[BenchmarkConfig]":
    """The benchmarks of a config one by one, each announced by its name within a sweep."""
    for config in configs:
        if len(configs) > 1:
            show_line(f"== {config.name}")
        yield config


def _lead(config, options):
    if options.open and options.no_page:
        raise InputError("--open shows the page, which --no-page leaves out: give one of them")
    from .reporting.comparability import CHECKS
    from .reporting.compared_runs import compare_runs
    from .reporting.report import report_of
    from .reporting.report_formats import PAGE_FILE, to_text
    from .running.runner import run_benchmark

    folder = options.output / config.name

    rows, failures = run_benchmark(
        config, options.output, jobs=options.jobs, tensorboard=options.tensorboard, say=show_line
    )
    if rows:
        # What was run is always shown; the notes say what a report would refuse.
        compared = compare_runs([folder], allowed=CHECKS)
        report = report_of(compared)
        show(to_text(report))
    page = _page(compared, report, options) if rows and not options.no_page else None
    if page is not None:
        write_text(folder / PAGE_FILE, page)
    # Nothing is called a result before all of it is written.
    show_line(f"results: {folder / 'results.json'}")
    if page is not None:
        _name_page(folder / PAGE_FILE, options)
    for outcome in failures:
        show_line(
            f"pml-hyperbolic: failed: {outcome.task.title}: {outcome.error} "
            f"(log: {outcome.task.folder / 'run.log'})",
            sys.stderr,
        )
        if options.debug and outcome.details:
            show(outcome.details, sys.stderr)
    return 1 if failures else 0


def _page(compared, report, options):
    """The report as HTML; None, and a line that says why, where a package for it is missing."""
    try:
        from .page.page import make_page

        return make_page(compared, report, command=options.words)
    except ModuleNotFoundError as error:
        show_line(f"no page: {_explain(error)[0]}", sys.stderr)
        return None


def _name_page(file, options):
    show_line(f"page: {file}")
    if options.open:
        import webbrowser

        webbrowser.open(file.resolve().as_uri())


def _search(options):
    from .config import load_benchmarks

    configs = load_benchmarks(options.config, options.overrides)
    return max(_search_one(config, options) for config in _announced(configs))


def _search_one(config, options):
    from .tuning.search import search_benchmark
    from .tuning.storage import StorageLostError
    from .tuning.tuned_config import found_table

    try:
        found, errors = search_benchmark(
            config,
            options.output,
            trials=options.trials,
            seeds=options.seeds,
            storage=options.storage,
            jobs=options.jobs,
            say=show_line,
        )
    except StorageLostError as lost:
        if options.debug:
            raise
        show_line(f"pml-hyperbolic: failed: {lost}", sys.stderr)
        return 1
    if found:
        show(found_table(found))
    for one in found:
        if one.advice is not None:
            show_line(f"warning: {one.advice}")
    folder = options.output / f"{config.name}-search"
    if not errors:
        show_line(f"tuned config: {folder / config.name}.yaml")
    for name, error in errors.items():
        show_line(
            f"pml-hyperbolic: failed: {name}: {error} (logs: {folder / 'trials' / name})",
            sys.stderr,
        )
    return 1 if errors else 0


def _validate(options):
    from .checking.check import check_benchmark
    from .config import load_benchmarks
    from .config.curvature_control import with_flat_twins

    for loaded in _announced(load_benchmarks(options.config, options.overrides)):
        config = with_flat_twins(loaded)
        for note in check_benchmark(config).notes:
            show_line(f"note: {note}")
        counts = {
            "method": len(config.methods),
            "fold": len(config.protocol.folds),
            "seed": len(config.protocol.seeds),
        }
        runs = " x ".join(f"{n} {name}{'s' if n > 1 else ''}" for name, n in counts.items())
        show_line(f"{options.config} is valid: protocol {config.protocol.hash}, {runs}")
    return 0


def _curvature(options):
    from .checking.curvature_estimate import curvature_overrides, estimate_curvature
    from .config import load_benchmarks

    for config in _announced(load_benchmarks(options.config, options.overrides)):
        found = estimate_curvature(config)
        print(
            f"c = {found.c:.4g}, standard deviation {found.spread:.2g} over {found.samples} "
            f"samples of {found.sample_size} of {found.images} training images "
            f"({found.dimension} features)"
        )
        overrides = curvature_overrides(config, found.c)
        if overrides:
            show_line("to train with it, add to `pml-hyperbolic run` those of:")
        else:
            show_line("no method states the c of a hyperbolic distance, which would take it")
        for override in overrides:
            show_line(f"  {override}")
    return 0


def _report(options):
    from .reporting.comparability import CHECKS
    from .reporting.compared_runs import compare_runs
    from .reporting.report import report_of
    from .reporting.report_formats import PAGE_FILE, to_markdown, to_text, write_report

    unknown = [kind for kind in options.allow if kind not in CHECKS]
    if unknown:
        raise InputError(
            f"--allow {unknown[0]}: {nearest(unknown[0], CHECKS)} (RUNS --allow KIND..., of "
            f"{', '.join(CHECKS)})"
        )
    if options.open and options.write is None:
        raise InputError("--open shows the page that --write DIR writes: give both")
    compared = compare_runs(options.runs, baseline=options.baseline, allowed=options.allow)
    report = report_of(compared)
    show(to_markdown(report) if options.markdown else to_text(report))
    if options.write is not None:
        page = _page(compared, report, options)
        show_line(f"written: {', '.join(map(str, write_report(report, options.write, page)))}")
        if page is not None:
            _name_page(options.write / PAGE_FILE, options)
    return 0


def _list(options):
    from .config import shipped_folder
    from .listing import list_everything

    folder = options.folder or shipped_folder()
    show(list_everything(folder, arguments=options.arguments))
    return 0


def _doctor(options):
    from .doctor import diagnose

    lines, healthy = diagnose()
    show("\n".join(lines))
    return 0 if healthy else 1
