"""What a search found, as a benchmark config that ``run`` takes.

The layout is that of benchmark_configs: the benchmark, and ``tuned/<benchmark>/`` beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import TUNED_FOLDER, BenchmarkConfig
from ..config.yaml_files import dump_yaml
from ..results.metric_names import metric_title


@dataclass(frozen=True)
class Found:
    """The outcome of one method's search.

    Attributes:
        method: the method's name.
        values: path -> chosen value.
        value: the validation score of the best trial.
        own_value: the score of the settings in the method's file, None if they diverged or lie
            outside the searched space.
        trials: the number of trials that count, the same for all methods.
        diverged: the number of these that became NaN or infinite.
        at_edge: the paths whose chosen value lies at the edge of its range, or beyond which no
            trial went.
    """

    method: str
    values: dict[str, Any]
    value: float
    own_value: float | None
    trials: int
    diverged: int
    at_edge: list[str]

    @property
    def advice(self) -> str | None:
        """A warning about values at the edge of their ranges, None if there are none."""
        if not self.at_edge:
            return None
        edges = " and ".join(f"{path} = {self.values[path]:g}" for path in self.at_edge)
        return (
            f"{self.method}: {edges} at the edge of what was searched: extend the range there, or "
            f"search again with more trials"
        )


def tuned_files(
    config: BenchmarkConfig, seeds: Sequence[int], found: Sequence[Found], folder: Path
) -> dict[Path, str]:
    """The new benchmark and its methods, each with how it was found, as path -> text.

    A method's file is complete: unlike one that extends another, it means the same wherever it is
    copied.

    Args:
        config: the benchmark that was searched.
        seeds: the seeds that each trial trained with.
        found: the outcome for every method.
        folder: the folder for the new benchmark.
    """
    content = config.model_dump(exclude_unset=True)
    name = f"{config.name}-tuned"
    benchmark = {**content, "name": name, "methods": [one.method for one in found]}
    trials = found[0].trials
    tuned = folder / TUNED_FOLDER / config.name
    head = (
        f"Written by `pml-hyperbolic search`: {trials} trials for each method, whose values are in "
        f"{TUNED_FOLDER}/{config.name}/."
    )
    files = {folder / f"{config.name}.yaml": _commented([head], benchmark)}
    for one in found:
        metric = config.protocol.evaluation.select_by
        method = config.methods[one.method].with_values(one.values).model_dump(exclude_unset=True)
        method["search_trials"] = one.trials
        method["tuned"] = {
            "metric": metric,
            "value": one.value,
            "seeds": list(seeds),
            "protocol": config.protocol.hash,
            "diverged": one.diverged,
            "at_edge": one.at_edge,
        }
        own = "no score" if one.own_value is None else f"{100 * one.own_value:.1f}%"
        title = metric_title(metric)
        lines = [
            f"Best of {one.trials} trials of `pml-hyperbolic search` by validation {title}: "
            f"{100 * one.value:.1f}% ({own} at the start)."
        ]
        lines += [
            f"{path} lies at the edge of what was searched: a wider range or more trials may find "
            f"better."
            for path in one.at_edge
        ]
        files[tuned / f"{one.method}.yaml"] = _commented(lines, method)
    return files


def found_table(found: Sequence[Found]) -> str:
    """A table of one line a method: trials, scores in percent and chosen values."""
    header = ["method", "trials", "diverged", "own", "best", "chosen"]
    body = [
        [
            one.method,
            str(one.trials),
            str(one.diverged),
            "-" if one.own_value is None else f"{100 * one.own_value:.1f}",
            f"{100 * one.value:.1f}",
            ", ".join(f"{path}={_short(value)}" for path, value in one.values.items()),
        ]
        for one in found
    ]
    widths = [max(len(cells[i]) for cells in [header, *body]) for i in range(len(header))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()
        for cells in [header, *body]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _short(value):
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _commented(lines, content):
    return "".join(f"# {line}\n" for line in lines) + dump_yaml(content, compact=True)
