"""The report of a benchmark: what was measured, what it shows, and under which reservations."""

import math
import statistics as middles
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..results.metric_names import PRIMARY, TITLES, metric_key, metric_title, recall_keys
from .benchmark_results import BenchmarkResults
from .comparability import check_comparable
from .comparison import (
    COMPARED_METRICS,
    VALIDATION,
    Comparison,
    CurvatureControl,
    choose_baseline,
    compare,
    compare_validation,
    curvature_controls,
)
from .paired_bootstrap import REPLICATES, PairedTest
from .score_group import ScoreGroup, repetitions, score_groups
from .statistics import SIGNIFICANCE, mean_interval, standard_deviation

# Of a cell that nothing is known for.
NOTHING = "-"
VALIDATION_TITLE = "Validation classes: settings are chosen by these (compared by seeds alone)"


@dataclass(frozen=True)
class Table:
    """Cells in words, under a header.

    Args:
        title: of the table.
        header: names of the columns.
        rows: as many cells each.
    """

    title: str
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Report:
    """All that a report says, in no particular format.

    Args:
        tables: the comparison first.
        findings: what the curvature control says, a sentence or two a method.
        notes: how to read the tables, every override and what is not known.
        records: the numbers of the lines, unrounded, in fractions of 1; the same keys in each.
    """

    tables: list[Table]
    findings: list[str]
    notes: list[str]
    records: list[dict]


def make_report(
    folders: Iterable[Path], *, baseline: str | None = None, allowed: Collection[str] = ()
) -> Report:
    """Compare all finished runs in these folders.

    Args:
        folders: of benchmarks, methods or single runs.
        baseline: the method that others are compared with, or ``method/space``. Default: the
            config's, else the first Euclidean method.
        allowed: kinds of findings that do not stop the report: keys of ``comparability.CHECKS``.

    Raises:
        InputError: no runs, runs that cannot be compared, or no such baseline.
    """
    results = BenchmarkResults.read(folders)
    reservations = check_comparable(results, allowed)
    groups = score_groups(results)
    configured = next((c["baseline"] for c in results.configs if c.get("baseline")), None)
    reference, why = choose_baseline(groups, baseline, configured)
    twins = {
        method: original
        for method in results.methods
        if (original := results.setting(method, "flat_twin_of"))
    }
    comparisons = compare(groups, reference, twins)
    controls = curvature_controls(groups, reference, comparisons[PRIMARY], twins)
    tables = [
        _comparison_table(groups, comparisons[PRIMARY]),
        _recall_table(groups),
        _concatenated_table(groups),
        _levels_table(groups),
        _published_table(results, groups),
        _validation_table(groups, compare_validation(groups, reference, twins)),
    ]
    return Report(
        tables=[table for table in tables if table is not None],
        findings=[_control_sentences(control, reference) for control in controls]
        + _missing_controls(groups, controls, twins),
        notes=[
            *_reading(groups, reference, why, comparisons[PRIMARY], twins),
            *_pairing(groups, reference, comparisons[PRIMARY]),
            *reservations,
        ],
        records=[
            _record(i, group, reference, comparisons, _published_of(results, group))
            for i, group in enumerate(groups)
        ],
    )


def _comparison_table(groups, comparisons):
    header = [
        "method",
        "space",
        "dim",
        *TITLES.values(),
        "difference",
        "p (Holm)",
        "verdict",
        "train - test",
        "spread",
        "epoch",
        "seconds",
    ]
    rows = []
    for i, group in enumerate(groups):
        epochs = sorted(row["epoch"] for row in group.rows.values())
        seconds = [row["seconds"] for row in group.rows.values()]
        rows.append(
            [
                group.method,
                group.space,
                _dimension(group),
                *(_percent(group.values("test", metric)) for metric in TITLES),
                *_comparison_cells(comparisons.get(i)),
                _percent(group.gap, signed=True),
                _spread(group),
                f"{middles.median_low(epochs)} ({epochs[0]}-{epochs[-1]})",
                f"{sum(seconds) / len(seconds):.1f}",
            ]
        )
    return Table("Comparison", header, rows)


def _comparison_cells(comparison: Comparison | None):
    if comparison is None:
        return [NOTHING] * 3
    p = comparison.p_corrected
    return [_points(comparison.test), _p_value(p), comparison.verdict]


def _recall_table(groups):
    keys = recall_keys({key for group in groups for key in group.first["test"]})
    if not keys:
        return None
    rows = [
        [group.method, group.space, *(_percent(group.values("test", key)) for key in keys)]
        for group in groups
    ]
    return Table("Recall at K", ["method", "space", *map(metric_title, keys)], rows)


def _validation_table(groups, comparisons):
    """What settings are to be chosen by; None where no run tells its validation scores."""
    rows = [
        [
            group.method,
            group.space,
            *(_percent(group.values(VALIDATION, metric)) for metric in TITLES),
            *_comparison_cells(comparisons.get(i)),
        ]
        for i, group in enumerate(groups)
        if group.values(VALIDATION, PRIMARY)
    ]
    header = ["method", "space", *TITLES.values(), "difference", "p (Holm)", "verdict"]
    return Table(VALIDATION_TITLE, header, rows) if rows else None


def _concatenated_table(groups):
    rows = [
        [group.method, group.space, *(_percent(group.concatenated_values(m)) for m in TITLES)]
        for group in groups
        if group.concatenated_values(PRIMARY)
    ]
    return (
        Table("Embeddings of all folds concatenated", ["method", "space", *TITLES.values()], rows)
        if rows
        else None
    )


def _levels_table(groups):
    rows = [
        [
            level,
            group.method,
            group.space,
            *(_percent(group.level_values(level, m)) for m in TITLES),
        ]
        for level in _levels(groups)
        for group in groups
    ]
    return (
        Table("Levels of the labels", ["level", "method", "space", *TITLES.values()], rows)
        if rows
        else None
    )


def _levels(groups: Sequence[ScoreGroup]) -> list[str]:
    found = [
        level
        for group in groups
        for row in group.rows.values()
        for level in row.get("test_levels") or {}
    ]
    return list(dict.fromkeys(found))


def _published_of(results, group):
    """(published number, key of its metric) of one line."""
    return [
        (item, metric_key(item["metric"]))
        for item in _published_items(results)
        if item["method"] == group.method and item.get("space") in (None, group.space)
    ]


def _published_items(results):
    return [item for config in results.configs for item in config.get("published") or []]


def _published_table(results, groups):
    """Published numbers beside measured ones, None where no config has any."""
    rows = []
    for item in _published_items(results):
        key = metric_key(item["metric"])
        lines = [group for group in groups if (item, key) in _published_of(results, group)]
        for group in lines or [None]:
            values = group.values("test", key) if group else []
            excess = 100 * mean_interval(values).mean - item["value"] if values else math.nan
            rows.append(
                [
                    item["method"],
                    group.space if group else item.get("space") or NOTHING,
                    metric_title(key),
                    f"{item['value']:.1f}",
                    _percent(values) if values else "not measured",
                    NOTHING if math.isnan(excess) else f"{excess:+.1f}",
                    item["source"],
                ]
            )
    header = ["method", "space", "metric", "published", "measured", "difference", "source"]
    return Table("Published and measured", header, rows) if rows else None


def _control_sentences(control: CurvatureControl, baseline) -> str:
    name, twin = control.group.title, control.twin.method
    parts = []
    if control.gain is not None and control.share is not None:
        share, low, high = (100 * value for value in control.share)
        parts.append(
            f"gains {_points(control.gain)} points of MAP@R on {baseline.method}, of which its "
            f"flat twin {twin} has {_points(control.twin_gain)}: {share:.0f}% of the gain "
            f"(95% interval {low:.0f}% to {high:.0f}%)"
        )
    elif control.gain is not None:
        parts.append(
            f"no gain on {baseline.method} is shown ({_points(control.gain)} points of MAP@R, flat "
            f"twin {twin} {_points(control.twin_gain)}), so there is none to share"
        )
    against, p = _points(control.against_twin), _p_value(control.p_corrected)
    parts.append(f"curved less flat {against} points, p {p}: {control.verdict}")
    return f"Curvature control, {name}: {'; '.join(parts)}."


def _missing_controls(groups, controls, twins):
    done = {control.twin.method for control in controls}
    known = {group.method for group in groups}
    return [
        f"Curvature control, {original}: its flat twin {twin} cannot be compared with it ("
        + (
            f"{original} is not among these runs)."
            if original not in known
            else "they share no hyperbolic space with the same runs and queries)."
        )
        for twin, original in twins.items()
        if twin not in done
    ]


def _reading(groups, baseline, why, comparisons, twins):
    """How to read the tables."""
    sentences = [
        f"In percent, on test classes, scored once with the checkpoint selected on validation "
        f"classes; {_repeats(groups)}; epoch: median (range).",
    ]
    if len({group.first["total_dimension"] for group in groups}) > 1:
        sentences.append("Total dimensions differ between methods.")
    if comparisons:
        sentences.append(
            f"Difference: MAP@R in points less that of {baseline.title}, {why}"
            f"{_testing(groups, comparisons, twins)}."
        )
    sentences.append(
        "Train - test: MAP@R on training classes less that on test classes; spread: standard "
        "deviation of MAP@R over the repetitions."
    )
    return sentences


def _testing(groups, comparisons, twins):
    """How differences were tested, nothing where none was."""
    tested = [groups[i].method for i, c in comparisons.items() if not math.isnan(c.p_corrected)]
    if not tested:
        return ""
    over, reach = "seeds", "seeds"
    if _all_over_queries(comparisons):
        over, reach = "seeds and queries", "seeds and other queries of these classes"
    flat = sum(method in twins for method in tested)
    family = f"{len(tested) - flat} comparison{'' if len(tested) - flat == 1 else 's'}"
    return (
        f", with its own 95% interval (paired; bootstrap over {over}, {REPLICATES} replicates, "
        f"tails of Student's t: they speak of other {reach}); p: two-sided, Holm's correction "
        f"over {family}{f', of flat twins over {flat} of their own' if flat else ''}; better or "
        f"worse where p < {SIGNIFICANCE}"
    )


def _repeats(groups):
    counts = {len(repetitions(group.runs)) for group in groups}
    count = " or ".join(str(c) for c in sorted(counts))
    folds = {len({fold for fold, _ in group.runs}) for group in groups}
    seeds = {len({seed for _, seed in group.runs}) for group in groups}
    most = max(folds)
    if max(counts) == 1:
        return "one seed"
    if max(seeds) == 1:
        return (
            f"mean ± 95% t-interval over {count} folds of one seed (their training classes "
            f"overlap: the interval is narrower than one over new data)"
        )
    averaged = f", each the mean of its {most} folds" if most > 1 else ""
    return f"mean ± 95% t-interval over {count} seeds{averaged}"


def _all_over_queries(comparisons):
    return all(comparison.over_queries for comparison in comparisons.values())


def _pairing(groups, baseline, comparisons):
    """What could not be paired."""
    notes = []
    mixed = [groups[i].title for i, c in comparisons.items() if not c.over_queries]
    if mixed:
        which = "all" if len(mixed) == len(comparisons) else ", ".join(mixed)
        notes.append(
            f"Compared by seeds alone, as scores of the same single queries were not kept "
            f"(queries.npz): {which}."
        )
    apart = [
        group.title
        for i, group in enumerate(groups)
        if group is not baseline and i not in comparisons
    ]
    if apart:
        notes.append(f"Not compared, as no fold and seed is the baseline's: {', '.join(apart)}.")
    fewer = [
        f"{groups[i].title} {len(c.keys)}"
        for i, c in comparisons.items()
        if len(c.keys) < max(len(groups[i].runs), len(baseline.runs))
    ]
    if fewer:
        notes.append(f"Compared on the runs in common only: {', '.join(fewer)}.")
    if any(math.isnan(c.p_corrected) for c in comparisons.values()):
        notes.append(
            "Not tested where seeds tell nothing about others: a single one, whose folds train on "
            "overlapping classes, or exactly the same difference in all."
        )
    return notes


def _record(number, group, baseline, comparisons, published):
    """All numbers of a line, for pandas."""
    record: dict = {
        "method": group.method,
        "space": group.space,
        "dimension": group.first["dimension"],
        "total_dimension": group.first["total_dimension"],
        "protocol_hash": group.first["protocol_hash"],
        "runs": len(group.runs),
        "repetitions": len(repetitions(group.runs)),
    }
    for metric in (*TITLES, *recall_keys(group.first["test"])):
        record |= _numbers(metric, group.values("test", metric))
    record |= {
        "baseline": baseline.method,
        "baseline_space": baseline.space,
    }
    for metric in COMPARED_METRICS:
        comparison = comparisons[metric].get(number)
        test = comparison.test if comparison else PairedTest(*[math.nan] * 4)
        record |= {
            f"{metric}_difference": test.difference,
            f"{metric}_difference_half_width": test.half_width,
            f"{metric}_p": test.p_value,
            f"{metric}_p_holm": comparison.p_corrected if comparison else math.nan,
            f"{metric}_verdict": comparison.verdict if comparison else "",
        }
    record |= _numbers("train_test_gap", group.gap)
    record["spread"] = standard_deviation(group.values("test", PRIMARY))
    for metric in TITLES:
        record |= _numbers(f"concatenated_{metric}", group.concatenated_values(metric))
    for level in _levels([group]):
        for metric in TITLES:
            record |= _numbers(f"{level}_{metric}", group.level_values(level, metric))
    record |= {f"published_{metric}": item["value"] / 100 for item, metric in published}
    record["epoch"] = middles.median_low([row["epoch"] for row in group.rows.values()])
    record["seconds"] = middles.fmean([row["seconds"] for row in group.rows.values()])
    return record


def _numbers(name, values):
    mean, half_width, _ = mean_interval(values) if values else (math.nan, math.nan, 0)
    return {name: mean, f"{name}_half_width": half_width}


def _dimension(group):
    size, total = group.first["dimension"], group.first["total_dimension"]
    return str(size) if size == total else f"{size} of {total}"


def _percent(values, *, signed=False):
    if not values:
        return NOTHING
    mean, half_width, _ = mean_interval(values)
    sign = "+" if signed else ""
    text = f"{100 * mean:{sign}.1f}"
    return text if math.isnan(half_width) else f"{text} ± {100 * half_width:.1f}"


def _points(test: PairedTest):
    text = f"{100 * test.difference:+.1f}"
    return text if math.isnan(test.half_width) else f"{text} ± {100 * test.half_width:.1f}"


def _p_value(p):
    if math.isnan(p):
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _spread(group):
    spread = standard_deviation(group.values("test", PRIMARY))
    return NOTHING if math.isnan(spread) else f"{100 * spread:.1f}"
