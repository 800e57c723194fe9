"""The numbers of a report's lines, unrounded and in fractions of 1, for report.csv."""

import math
import statistics as middles
from collections.abc import Mapping, Sequence
from typing import Any

from ..results.metric_names import PRIMARY, TITLES, metric_key, recall_keys
from .benchmark_results import BenchmarkResults
from .comparison import COMPARED_METRICS, Comparison
from .measured_lines import MeasuredLine, measured_numbers
from .paired_bootstrap import PairedTest
from .score_group import ScoreGroup, level_names, repetitions
from .statistics import mean_interval, standard_deviation
from .untrained_lines import UntrainedLine, lines_above


def records(
    results: BenchmarkResults,
    groups: Sequence[ScoreGroup],
    baseline: ScoreGroup,
    comparisons: Mapping[str, Mapping[int, Comparison]],
    measured: Sequence[MeasuredLine] = (),
    untrained: Sequence[UntrainedLine] = (),
) -> list[dict[str, Any]]:
    """Return all numbers of each line; NaN is an unknown one.

    Args:
        results: of which the published numbers are taken.
        groups: all lines.
        baseline: one of the lines.
        comparisons: metric -> number of a line -> its comparison.
        measured: the same lines with their measures. Default: not measured.
        untrained: lines of the untrained networks, whose records come last.
    """
    found = [
        _record(
            group,
            baseline,
            {metric: comparisons[metric].get(i) for metric in COMPARED_METRICS},
            results.published(group.method, group.space),
        )
        for i, group in enumerate(groups)
    ]
    for record, group in zip(found, groups, strict=True):
        record["below_untrained"] = ", ".join(line.name for line in lines_above(group, untrained))
    for record, line in zip(found, measured, strict=False):
        record |= measured_numbers(line)
    found += [_untrained_record(line) for line in untrained]
    unknown = dict.fromkeys((name for record in found for name in record), math.nan)
    return [unknown | record for record in found]


def _untrained_record(line):
    record: dict[str, Any] = {
        "method": line.name,
        "space": "euclidean",
        "dimension": line.dimension,
        "total_dimension": line.dimension,
        "protocol_hash": line.protocol_hash,
        "repetitions": len(line.test[PRIMARY]),
    }
    for metric, values in line.test.items():
        record |= _numbers(metric, values)
    for level, scores in line.test_levels.items():
        for metric in TITLES:
            if metric in scores:
                record |= _numbers(f"{level}_{metric}", scores[metric])
    return record


def _record(group, baseline, comparisons, published):
    row = group.first
    record: dict[str, Any] = {
        "method": group.method,
        "space": group.space,
        "dimension": row.dimension,
        "total_dimension": row.total_dimension,
        "protocol_hash": row.protocol_hash,
        "runs": len(group.runs),
        "repetitions": len(repetitions(group.runs)),
    }
    for metric in (*TITLES, *recall_keys(row.test)):
        record |= _numbers(metric, group.values("test", metric))
    record |= {"baseline": baseline.method, "baseline_space": baseline.space}
    for metric, comparison in comparisons.items():
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
    for level in level_names([group]):
        for metric in TITLES:
            record |= _numbers(f"{level}_{metric}", group.level_values(level, metric))
    record |= {f"published_{metric_key(item['metric'])}": item["value"] / 100 for item in published}
    record["epoch"] = middles.median_low([row.epoch for row in group.rows.values()])
    record["seconds"] = middles.fmean([row.seconds for row in group.rows.values()])
    return record


def _numbers(name, values):
    mean, half_width, _ = mean_interval(values) if values else (math.nan, math.nan, 0)
    return {name: mean, f"{name}_half_width": half_width}
