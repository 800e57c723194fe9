"""The table of a benchmark: method x space, means and intervals over seeds."""

import math
import statistics as middles
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import InputError
from .files import read_json
from .statistics import mean_interval

RESULTS_FILE = "results.json"
_METRICS = {
    "precision_at_1": "R@1",
    "r_precision": "R-Precision",
    "mean_average_precision_at_r": "MAP@R",
}


def read_results(folders: Iterable[Path]) -> list[dict]:
    """All rows of these benchmark folders.

    Raises:
        InputError: a folder without readable results, runs of different protocols, or one method,
            space, fold and seed twice.
    """
    rows: list[dict] = []
    origins: dict[str, Path] = {}
    for folder in folders:
        file = Path(folder) / RESULTS_FILE
        try:
            content = read_json(file)
        except (OSError, ValueError):
            content = None
        if not _looks_right(content):
            raise InputError(
                f"{folder} has no readable {RESULTS_FILE}: give the folder of a benchmark that "
                f"`pml-hyperbolic run` made, such as runs/digits"
            )
        for row in content:
            origins.setdefault(row["protocol_hash"], file)
        rows += content
    if len(origins) > 1:
        found = " and ".join(f"{name} ({file})" for name, file in origins.items())
        raise InputError(
            f"these runs followed different protocols, {found}: their numbers cannot be "
            f"compared, report them one by one"
        )
    if not rows:
        raise InputError("no run of these benchmarks is finished: `pml-hyperbolic run` them first")
    keys = [(row["method"], row["space"], row["fold"], row["seed"]) for row in rows]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        method, space, fold, seed = twice[0]
        raise InputError(
            f"{method} ({space}, fold {fold}, seed {seed}) is in the results twice: leave one out"
        )
    return rows


def results_table(rows: Sequence[dict], *, markdown: bool = False) -> str:
    """The table, one line for each method and space, in the order of the rows.

    Args:
        rows: as in results.json.
        markdown: a Markdown table instead of aligned text. Default False.
    """
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["space"]), []).append(row)
    header = ["method", "space", "dim", *_METRICS.values(), "epoch", "seconds"]
    body = [_line(*key, group) for key, group in groups.items()]
    counts = {len(group) for group in groups.values()}
    folds = {row["fold"] for row in rows}
    note = _note(counts, {row["total_dimension"] for row in rows}, len(folds))
    if markdown:
        lines = ["| " + " | ".join(cells) + " |" for cells in [header, *body]]
        lines.insert(1, "|" + " --- |" * len(header))
        return "\n".join([*lines, "", note])
    widths = [max(len(cells[i]) for cells in [header, *body]) for i in range(len(header))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()
        for cells in [header, *body]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], note])


def _looks_right(content):
    needed = {
        "method",
        "space",
        "fold",
        "seed",
        "test",
        "protocol_hash",
        "dimension",
        "total_dimension",
    }
    return isinstance(content, list) and all(
        isinstance(row, dict) and needed <= row.keys() for row in content
    )


def _line(method, space, group):
    dimension = str(group[0]["dimension"])
    if group[0]["dimension"] != group[0]["total_dimension"]:
        dimension += f" of {group[0]['total_dimension']}"
    epochs = sorted(row["epoch"] for row in group)
    chosen = f"{middles.median_low(epochs)} ({epochs[0]}-{epochs[-1]})"
    seconds = sum(row["seconds"] for row in group) / len(group)
    scores = [_percent([row["test"][metric] for row in group]) for metric in _METRICS]
    return [method, space, dimension, *scores, chosen, f"{seconds:.1f}"]


def _percent(values):
    interval = mean_interval(values)
    if math.isnan(interval.half_width):
        return f"{100 * interval.mean:.1f}"
    return f"{100 * interval.mean:.1f} ± {100 * interval.half_width:.1f}"


def _note(counts, dimensions, folds):
    number = " or ".join(str(count) for count in sorted(counts))
    kind = "seeds" if folds == 1 else f"runs ({folds} folds, each under every seed)"
    repeats = (
        f"mean ± 95% t-interval over {number} {kind}" if max(counts, default=1) > 1 else "one seed"
    )
    kind = kind.split()[0]
    unequal = f"; not all methods have the same number of {kind}" if len(counts) > 1 else ""
    different = "; total dimensions differ between methods" if len(dimensions) > 1 else ""
    return (
        f"Test classes, scored once with the checkpoint selected on validation classes; {repeats}; "
        f"epoch: median (range){unequal}{different}."
    )
