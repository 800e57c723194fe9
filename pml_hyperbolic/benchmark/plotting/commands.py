"""The command ``plot`` of ``pml-hyperbolic``: the papers' figures, of runs and of files."""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ...escaping import show_line
from ..results.metric_names import metric_key
from .options import (
    baseline_option,
    batch_option,
    disk_options,
    every_space_option,
    geometry_options,
    images_option,
    level_option,
    map_option,
    neighbor_options,
    random_option,
    recall_option,
    retrieval_options,
    seed_option,
    space_option,
    split_option,
    title_option,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..reporting.score_group import ScoreGroup
    from .embedding_set import EmbeddingSet
    from .run_line import RunLine

_SUFFIXES = (".png", ".svg", ".pdf")
_TITLE_SIZE = 10.5  # points, as in figures that draw their title themselves
# What describes a file of embeddings, and what chooses among runs.
_FILE_OPTIONS = ("proxies", "c", "clip_radius", "clip", "inputs")
_RUN_OPTIONS = ("space", "seed", "split", "baseline")


def add_plot_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to a command line, with a subcommand for each kind of figure.

    Args:
        add: adds a command, given its name, the function that does it and a sentence on it.
    """
    plot = add("plot", _plot, "draw a figure of runs, or of a file of embeddings")
    kinds = plot.add_subparsers(dest="kind", required=True, metavar="KIND", parser_class=type(plot))
    for name, (draw, text, options) in _KINDS.items():
        kind = kinds.add_parser(name, help=text, description=text)
        kind.set_defaults(draw=draw)
        kind.add_argument("--debug", action="store_true", help="show the traceback of an error")
        of_files = geometry_options in options
        kind.add_argument(
            "runs",
            nargs="+",
            type=Path,
            metavar="RUN",
            help="folder of a benchmark, a method or a run"
            + (", or a file of embeddings (.npz, .pt)" if of_files else ""),
        )
        kind.add_argument(
            "--output",
            type=Path,
            metavar="FILE",
            help=f"picture to write, .png, .svg or .pdf (default: {name}.png)"
            + ("; .gif moves through the epochs" if name == "disk" else ""),
        )
        for add_options in options:
            add_options(kind)


def _plot(options):
    suffixes = (*_SUFFIXES, ".gif") if options.kind == "disk" else _SUFFIXES
    output = options.output or Path(f"{options.kind}.png")
    if output.suffix.lower() not in suffixes:
        raise InputError(
            f"--output {output}: expected a file {', '.join(suffixes[:-1])} or {suffixes[-1]}: "
            f"choose one of these"
        )
    for path in options.runs:
        if not path.exists():
            raise InputError(
                f"there is no folder or file {path}: give the folder of a benchmark that "
                f"`pml-hyperbolic run` made, or a file of embeddings"
            )
    _refuse_idle_options(options)
    options.output = output
    figure = options.draw(options)
    if figure is not None:
        with _writing(output):
            _save(figure, output, getattr(options, "title", None))
    show_line(f"figure: {output}")
    return 0


@contextlib.contextmanager
def _writing(output: Path) -> Iterator[None]:
    """Make the folder of a picture, and say that it is the picture which cannot be written."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"{output} cannot be written: {error.strerror or error}: choose another --output"
        ) from error


def _save(figure: "Figure", output: Path, title: str | None) -> None:
    from matplotlib import rc_context
    from matplotlib.text import Text

    # Some figures have drawn it already.
    if title and all(title != text.get_text() for text in figure.findobj(Text)):
        figure.suptitle(title, fontsize=_TITLE_SIZE)
    # A fixed salt gives the same identifiers, and so the same file, every time.
    with rc_context({"svg.hashsalt": "pml_hyperbolic"}):
        if output.suffix.lower() == ".png":
            figure.savefig(output)
        else:
            key = "Date" if output.suffix.lower() == ".svg" else "CreationDate"
            figure.savefig(output, metadata={key: None})


# --------------------------------------------------------------------------------------------------
# Kinds of figures


def _disk(options):
    from .disk import animate_disk, draw_disk
    from .gathering import snapshot_sets

    how = {name: getattr(options, name) for name in ("level", "points", "random_seed", "title")}
    moving = options.output.suffix.lower() == ".gif"
    if options.epochs is None and not moving:
        return draw_disk(_sets(options, most=1, split=options.split), **how)
    epochs = snapshot_sets(_one_line(options), options.split or "test", options.epochs or [])
    if moving:
        with _writing(options.output):
            animate_disk(options.output, epochs, **how)
        return None
    return draw_disk(epochs, **how)


def _affinity(options):
    from .affinity import draw_affinity

    return draw_affinity(_sets(options, most=2), level=options.level)


def _proxy_neighbors(options):
    from .proxy_neighbors import draw_proxy_neighbors

    (one,) = _sets(options, most=1, split=options.split or "train")
    return draw_proxy_neighbors(one, rows=options.rows, k=options.k)


def _dimension(options):
    from .dimension import draw_dimension

    groups = [group for folder in options.runs for group in _groups([folder], options.space)]
    return draw_dimension(groups, metric=_metric(options))


def _retrieval(options):
    from .retrieval import draw_retrieval

    names = ("k", "rows", "wins", "losses", "random", "random_seed")
    return draw_retrieval(
        _sets(options, most=2), **{name: getattr(options, name) for name in names}
    )


def _similarities(options):
    from .gathering import snapshot_sets
    from .run_line import line_of
    from .similarities import draw_similarities

    sets = []
    for path in options.runs:
        if path.is_file():
            sets.append(_file_set(path, options))
            continue
        for group in _groups([path], options.space):
            sets += snapshot_sets(line_of(group, options.seed), options.split or "train")
    return draw_similarities(sets, batch=options.batch, random_seed=options.random_seed)


def _radii(options):
    from .gathering import line_set
    from .radii import draw_radii, draw_radii_by_epoch
    from .run_line import line_of

    lines, sets = [], []
    for path in options.runs:
        if path.is_file():
            sets.append(_file_set(path, options))
            continue
        groups = _groups([path], None)
        curved = [group for group in groups if group.space == "hyperbolic"] or groups
        lines += [line_of(group, options.seed) for group in curved]
    if len(lines) == 1 and not sets:
        return draw_radii_by_epoch(lines[0], title=options.title)
    return draw_radii([*map(line_set, lines), *sets], title=options.title)


def _forest(options):
    from ..reporting.compared_runs import compare_runs
    from ..reporting.comparison import COMPARED_METRICS
    from .forest import draw_forest

    metric = _metric(options)
    if metric not in COMPARED_METRICS:
        raise InputError(f"--metric {options.metric}: forest compares MAP@R or R@1")
    compared = compare_runs(options.runs, baseline=options.baseline)
    comparisons = compared.comparisons[metric]
    return draw_forest(compared.groups, compared.baseline, comparisons, metric=metric)


def _curves(options):
    from .curves import draw_curves

    return draw_curves(_groups(options.runs, options.space))


def _hierarchy(options):
    from .gathering import snapshot_sets
    from .hierarchy import draw_hierarchy

    how = {name: getattr(options, name) for name in ("level", "images", "title")}
    if options.runs[0].is_file() or options.split == "test":
        (one,) = _sets(options, most=1)
    else:
        (one,) = snapshot_sets(_one_line(options), "train")
    return draw_hierarchy(one, **how)


# --------------------------------------------------------------------------------------------------
# What they are drawn from


def _groups(folders: list[Path], space: str | None) -> "list[ScoreGroup]":
    from ..reporting.benchmark_results import BenchmarkResults
    from ..reporting.score_group import score_groups
    from .run_line import lines_in

    for folder in folders:
        if folder.is_file():
            raise InputError(f"{folder} is a file, and this figure needs folders of runs")
    return lines_in(score_groups(BenchmarkResults.read(folders)), space, folders[0])


def _sets(options: argparse.Namespace, *, most: int, split: str | None = None):
    """Return at most ``most`` sets of embeddings; ``split`` None takes all test images."""
    from .gathering import line_set, snapshot_sets
    from .run_line import chosen_lines

    if len(options.runs) > most:
        raise InputError(
            f"{options.kind} shows {most} at most, got {len(options.runs)}: name "
            f"{'one' if most == 1 else 'one or two'}"
        )
    found: list[EmbeddingSet] = []
    for path in options.runs:
        if path.is_file():
            found.append(_file_set(path, options))
            continue
        lines = chosen_lines(
            path,
            most=most if len(options.runs) == 1 else 1,
            space=options.space,
            seed=options.seed,
            baseline=getattr(options, "baseline", None),
        )
        for line in lines:
            found += [line_set(line)] if split is None else snapshot_sets(line, split)
    return found


def _one_line(options: argparse.Namespace) -> "RunLine":
    from .run_line import chosen_lines

    if len(options.runs) > 1 or options.runs[0].is_file():
        raise InputError(
            f"{options.kind} over the training shows one run: name one folder of a run or a method"
        )
    (line,) = chosen_lines(options.runs[0], most=1, space=options.space, seed=options.seed)
    return line


def _refuse_idle_options(options):
    """Refuse options that would do nothing, as what they are about is not among the arguments."""
    files = [path.is_file() for path in options.runs]
    for names, has_use, what in (
        (_FILE_OPTIONS, any(files), "describes a file of embeddings, and no file"),
        (_RUN_OPTIONS, not all(files), "chooses among runs, and no folder of runs"),
    ):
        given = [name for name in names if getattr(options, name, None) is not None]
        if given and not has_use:
            raise InputError(f"--{given[0].replace('_', '-')} {what} is named: leave it out")


def _file_set(path: Path, options: argparse.Namespace) -> "EmbeddingSet":
    from ...analysis import read_embeddings
    from .gathering import file_set

    how = {name: getattr(options, name) for name in _FILE_OPTIONS}
    return file_set(path, read_embeddings(path, **how))


def _metric(options):
    key = metric_key(options.metric)
    if key is None:
        raise InputError(
            f"--metric {options.metric}: expected MAP@R, R-Precision, R@1 or R@K of a larger K"
        )
    return key


_EMBEDDED = (space_option, seed_option, geometry_options)
# Kind -> (function, what it shows, options).
_KINDS: dict[str, tuple[Callable, str, tuple[Callable, ...]]] = {
    "disk": (
        _disk,
        "embeddings and hierarchical proxies in the Poincare disk (HIER's Figures 3 and 4)",
        (*_EMBEDDED, level_option, split_option, disk_options, random_option, title_option),
    ),
    "affinity": (
        _affinity,
        "similarities of classes, ordered by superclass (HIER's Figure 5)",
        (*_EMBEDDED, level_option, baseline_option),
    ),
    "proxy_neighbors": (
        _proxy_neighbors,
        "images nearest to proxies at the origin and at the boundary (HIER's Figure 6)",
        (*_EMBEDDED, split_option, neighbor_options, title_option),
    ),
    "dimension": (
        _dimension,
        "accuracy over the embedding dimension (HIER's Figure 7)",
        (every_space_option, recall_option, title_option),
    ),
    "retrieval": (
        _retrieval,
        "largest wins and losses against the baseline (HIER's Figure 8, CHEST's Figure 2)",
        (*_EMBEDDED, baseline_option, retrieval_options, random_option, title_option),
    ),
    "similarities": (
        _similarities,
        "similarities of a batch to positive and negative classes (CHEST's Figure 3)",
        (
            every_space_option,
            seed_option,
            geometry_options,
            split_option,
            batch_option,
            random_option,
            title_option,
        ),
    ),
    "radii": (
        _radii,
        "radii against the clip radius, by epoch of one run or of several methods",
        (seed_option, geometry_options, title_option),
    ),
    "forest": (
        _forest,
        "differences to the baseline with their intervals",
        (baseline_option, map_option, title_option),
    ),
    "curves": (
        _curves,
        "learning curves with their spread over seeds",
        (every_space_option, title_option),
    ),
    "hierarchy": (
        _hierarchy,
        "the tree of learned proxies, or of class means, with images at its leaves",
        (*_EMBEDDED, level_option, split_option, images_option, title_option),
    ),
}
