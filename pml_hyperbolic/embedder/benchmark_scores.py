"""Scores of a run, and of the benchmark around it, with intervals over seeds."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checked_files import DamagedFile, read_checked_json
from ..errors import InputError

PRIMARY = "mean_average_precision_at_r"


def benchmark_scores(folder: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Collect the scores of a run and of the runs of its benchmark under the same protocol.

    Args:
        folder: of the run.
        rows: of its result.json, one for each space.

    Returns:
        ``run``: space -> split -> metric -> value, fractions of 1. ``benchmark``: one entry for
        each method and space, with the number of ``seeds`` and, for each metric on the test
        classes, ``mean`` and ``interval_95`` (Student's t over seeds, folds of a seed averaged
        first; None with one seed). ``verdict``: what the comparison with the best other method
        has shown, in a sentence.
    """
    lines = _lines(folder, rows)
    return {
        "run": {
            row["space"]: {
                split: row[split] for split in ("test", "validation", "train") if split in row
            }
            for row in rows
        },
        "benchmark": [
            {
                "method": method,
                "space": space,
                "dimension": line[0][1]["dimension"],
                "seeds": len(by_seed),
                "test": {
                    metric: dict(zip(("mean", "interval_95"), mean_interval(values), strict=True))
                    for metric, values in _metrics(by_seed).items()
                },
            }
            for (method, space), line in lines.items()
            for by_seed in [_by_seed(line)]
        ],
        "verdict": _verdict(rows, lines),
    }


def mean_interval(values: Sequence[float]) -> tuple[float, list[float] | None]:
    """Return a mean and its 95% interval by Student's t, None for a single value."""
    from scipy import stats

    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return mean, None
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half_width = float(stats.t.ppf(0.975, count - 1)) * math.sqrt(variance / count)
    return mean, [mean - half_width, mean + half_width]


def _lines(folder, rows):
    """Map (method, space) to [(seed, row)] of all runs that share the protocol of ``rows``."""
    lines = defaultdict(list)
    kept: dict[str, str | None] = {}
    for row in [*rows, *_siblings(folder)]:
        if row.get("protocol_hash") != rows[0]["protocol_hash"]:
            continue
        # Runs of an edited method are not repetitions of it.
        method_hash = row.get("method_hash")
        if kept.setdefault(row["method"], method_hash) != method_hash:
            continue
        lines[row["method"], row["space"]].append((row["seed"], row))
    return dict(lines)


def _siblings(folder):
    """Yield the rows of the other runs of the same benchmark; other files are ignored."""
    folder = folder.resolve()
    for file in sorted(folder.parent.parent.glob("*/fold*_seed*/result.json")):
        if file.parent == folder:
            continue
        try:
            found = read_checked_json(file)
        except DamagedFile as error:
            # Without it, other runs would be the best.
            raise InputError(
                f"{file} is damaged ({error}): remove {file.parent} and run the benchmark again"
            ) from error
        except (OSError, ValueError):
            continue
        needed = {"method", "space", "seed", "dimension", "test"}
        for row in found if isinstance(found, list) else []:
            if isinstance(row, dict) and row.keys() >= needed:
                yield row


def _by_seed(line):
    """Map each seed to the test scores of its folds."""
    by_seed = defaultdict(list)
    for seed, row in line:
        by_seed[seed].append(row["test"])
    return dict(by_seed)


def _metrics(by_seed):
    """Map each metric to one value for each seed, the mean over its folds."""
    names = [list(scores) for folds in by_seed.values() for scores in folds]
    common = [name for name in names[0] if all(name in others for others in names)]
    return {
        name: [
            math.fsum(scores[name] for scores in folds) / len(folds) for folds in by_seed.values()
        ]
        for name in common
    }


def _verdict(rows, lines):
    """Compare this run's method with the best other one, in its best space, paired by seed."""
    method = rows[0]["method"]
    means: dict[tuple[str, str], float] = {}
    for key, line in lines.items():
        values = _metrics(_by_seed(line)).get(PRIMARY)
        if values:
            means[key] = math.fsum(values) / len(values)
    own = max((key for key in means if key[0] == method), key=means.__getitem__, default=None)
    other = max((key for key in means if key[0] != method), key=means.__getitem__, default=None)
    if own is None or other is None:
        return "No other method was run under this protocol, so nothing has been compared."
    first, second = (_paired(lines[key]) for key in (own, other))
    pairs = sorted(first.keys() & second.keys())
    seeds = sorted({seed for seed, _ in pairs})
    differences = [
        math.fsum(first[pair] - second[pair] for pair in pairs if pair[0] == seed)
        / sum(pair[0] == seed for pair in pairs)
        for seed in seeds
    ]
    against = f"{method} ({own[1]}) against {other[0]} ({other[1]}), the best other method by MAP@R"
    if not differences:
        return f"{against}: they share no seed and fold, so the difference was not tested."
    mean, interval = mean_interval(differences)
    points = f"{100 * mean:+.1f} points of MAP@R"
    if interval is None:
        return f"{against}: {points} with one seed, so the difference was not tested."
    low, high = interval
    shown = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
    return (
        f"{against}: {shown}, {points}, 95% interval {100 * low:+.1f} to {100 * high:+.1f} over "
        f"{len(seeds)} seeds (paired by seed and fold, not corrected for the choice among several "
        f"methods; `pml-hyperbolic report` makes the full comparison)."
    )


def _paired(line):
    return {(seed, row.get("fold", 0)): row["test"][PRIMARY] for seed, row in line}
