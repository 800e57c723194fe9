"""The tables of a report; those that nothing is known for are None."""

import math
import statistics as middles
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..config.optimization import RATES, TUNED
from ..results.metric_names import PRIMARY, TITLES, metric_key, metric_title, recall_keys
from .benchmark_results import BenchmarkResults
from .cells import NOTHING, comparison_cells, dimension, percent, spread
from .comparison import Comparison
from .score_group import ScoreGroup, level_names
from .statistics import mean_interval
from .untrained_lines import BELOW, UntrainedLine, lines_above

VALIDATION_TITLE = "Validation classes: choose settings by these scores (compared over seeds only)"
RATES_TITLE = "Learning rates"
LEVELS_TITLE = "Levels of the labels"
_COMPARISON_HEADER = ["difference", "p (Holm)", "verdict"]


@dataclass(frozen=True)
class Table:
    """Cells in words, under a header.

    Args:
        title: of the table.
        header: names of the columns.
        rows: each with as many cells.
    """

    title: str
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Passage:
    """A part of a report.

    Args:
        title: heading.
        sentences: what the tables show and how to read them, in order.
        tables: shown before the sentences; they need no title of their own.
        problems: what could not be shown, and why, one sentence each.
    """

    title: str
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
    problems: Sequence[str] = ()


def comparison_table(
    groups: Sequence[ScoreGroup],
    comparisons: Mapping[int, Comparison],
    untrained: Sequence[UntrainedLine] = (),
) -> Table:
    """Return the main table: every method in every space, compared with the baseline.

    Args:
        groups: all lines.
        comparisons: number of a line -> its comparison in the primary metric.
        untrained: lines of the untrained networks, which come last; methods below them are marked.
    """
    header = [
        "method",
        "space",
        "dim",
        *TITLES.values(),
        *_COMPARISON_HEADER,
        "train - test",
        "spread",
        "epoch",
        "seconds",
    ]
    rows = []
    for i, group in enumerate(groups):
        epochs = sorted(row.epoch for row in group.rows.values())
        seconds = [row.seconds for row in group.rows.values()]
        rows.append(
            [
                f"{group.method} {BELOW}" if lines_above(group, untrained) else group.method,
                group.space,
                dimension(group),
                *(percent(group.values("test", metric)) for metric in TITLES),
                *comparison_cells(comparisons.get(i)),
                percent(group.gap, signed=True),
                spread(group),
                f"{middles.median_low(epochs)} ({epochs[0]}-{epochs[-1]})",
                f"{sum(seconds) / len(seconds):.1f}",
            ]
        )
    for line in untrained:
        cells = [
            line.name,
            "euclidean",
            str(line.dimension),
            *(percent(line.test[metric]) for metric in TITLES),
        ]
        rows.append([*cells, *[NOTHING] * (len(header) - len(cells))])
    return Table("Comparison", header, rows)


def recall_table(groups: Sequence[ScoreGroup]) -> Table | None:
    """Return recall at K > 1."""
    keys = recall_keys({key for group in groups for key in group.first.test})
    rows = [
        [group.method, group.space, *(percent(group.values("test", key)) for key in keys)]
        for group in groups
    ]
    header = ["method", "space", *map(metric_title, keys)]
    return Table("Recall at K", header, rows) if keys else None


def concatenated_table(groups: Sequence[ScoreGroup]) -> Table | None:
    """Return the scores of the embeddings of all folds side by side."""
    rows = [
        [group.method, group.space, *(percent(group.concatenated_values(m)) for m in TITLES)]
        for group in groups
        if group.concatenated_values(PRIMARY)
    ]
    header = ["method", "space", *TITLES.values()]
    return Table("Embeddings of all folds concatenated", header, rows) if rows else None


def levels_table(
    groups: Sequence[ScoreGroup], untrained: Sequence[UntrainedLine] = ()
) -> Table | None:
    """Return the test scores on coarser levels of the labels.

    Args:
        groups: all lines.
        untrained: lines of the untrained networks, which come last at each level.
    """
    rows = []
    for level in level_names(groups):
        for group in groups:
            scores = [percent(group.level_values(level, metric)) for metric in TITLES]
            rows.append([level, group.method, group.space, *scores])
        for line in untrained:
            known = line.test_levels.get(level, {})
            scores = [percent(known.get(m, [])) for m in TITLES]
            rows.append([level, line.name, "euclidean", *scores])
    header = ["level", "method", "space", *TITLES.values()]
    return Table(LEVELS_TITLE, header, rows) if rows else None


def rates_table(results: BenchmarkResults) -> Table | None:
    """Return the learning rates of each method, None if the protocol fixes those of the network."""
    rows = []
    for config, optimizer in zip(results.configs, results.optimizers, strict=True):
        if TUNED not in optimizer.values():
            continue
        for method, settings in config["methods"].items():
            if method not in results.methods:
                continue
            found = settings.get("tuned") or {}
            regularizer = settings.get("regularizer") or {}
            values = {
                **{
                    key: settings.get(key) if optimizer.get(key) == TUNED else optimizer.get(key)
                    for key in RATES
                },
                "loss_lr": settings.get("loss_lr"),
                "regularizer.lr": regularizer.get("lr"),
            }
            trials = settings.get("search_trials")
            rows.append(
                [
                    method,
                    *(NOTHING if value is None else f"{value:.3g}" for value in values.values()),
                    f"best of {trials} trials" if trials else "stated, not searched",
                    ", ".join(found.get("at_edge") or []) or NOTHING,
                ]
            )
    header = ["method", *RATES, "loss_lr", "regularizer.lr", "found as", "at the edge"]
    return Table(RATES_TITLE, header, rows) if rows else None


def published_table(results: BenchmarkResults, groups: Sequence[ScoreGroup]) -> Table | None:
    """Return the numbers that configs quote from publications, beside the measured ones."""
    rows = []
    for item in results.published():
        key = metric_key(item["metric"]) or item["metric"]
        lines: list[ScoreGroup | None] = [
            g for g in groups if item in results.published(g.method, g.space)
        ]
        for group in lines or [None]:
            values = group.values("test", key) if group else []
            excess = 100 * mean_interval(values).mean - item["value"] if values else math.nan
            rows.append(
                [
                    item["method"],
                    group.space if group else item.get("space") or NOTHING,
                    metric_title(key),
                    f"{item['value']:.1f}",
                    percent(values) if values else "not measured",
                    NOTHING if math.isnan(excess) else f"{excess:+.1f}",
                    item["source"],
                ]
            )
    header = ["method", "space", "metric", "published", "measured", "difference", "source"]
    return Table("Published and measured", header, rows) if rows else None


def validation_table(
    groups: Sequence[ScoreGroup], comparisons: Mapping[int, Comparison]
) -> Table | None:
    """Return the validation scores, by which settings may be chosen.

    Args:
        groups: all lines.
        comparisons: number of a line -> comparison of its validation scores.
    """
    rows = [
        [
            group.method,
            group.space,
            *(percent(group.values("validation", metric)) for metric in TITLES),
            *comparison_cells(comparisons.get(i)),
        ]
        for i, group in enumerate(groups)
        if group.values("validation", PRIMARY)
    ]
    header = ["method", "space", *TITLES.values(), *_COMPARISON_HEADER]
    return Table(VALIDATION_TITLE, header, rows) if rows else None
