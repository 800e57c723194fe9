"""What a search found, as a benchmark config that ``run`` takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import METHOD_FOLDER, BenchmarkConfig
from ..config.yaml_files import dump_yaml


@dataclass(frozen=True)
class Found:
    """The outcome of one method's search.

    Attributes:
        method: its name.
        values: path -> chosen value.
        value: validation score of the best trial.
        own_value: that of the file's own settings, None where they diverged or lay outside.
        trials: that counted, which is the same for all methods.
        diverged: of these, those that became NaN or infinite.
        at_edge: paths whose chosen value lies at the edge of what was allowed.
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
        """What to do about values at an edge."""
        if not self.at_edge:
            return None
        edges = " and ".join(f"{path} = {self.values[path]:g}" for path in self.at_edge)
        return (
            f"{self.method}: {edges} at the edge of what was allowed: extend it there and search "
            f"again"
        )


def tuned_files(
    config: BenchmarkConfig, seeds: Sequence[int], found: Sequence[Found], folder: Path
) -> dict[Path, str]:
    """Path -> text of the new benchmark and its methods, each with how it was found.

    Args:
        config: what was searched.
        seeds: that each trial trained with.
        found: of every method.
        folder: where the config goes; its methods go beside it.
    """
    content = config.model_dump(exclude_unset=True)
    name = f"{config.name}-tuned"
    benchmark = {**content, "name": name, "methods": [one.method for one in found]}
    trials = found[0].trials
    head = f"Written by `pml-hyperbolic search`: {trials} trials for each method."
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
        own = "diverged or lay outside" if one.own_value is None else f"{one.own_value:.4f}"
        lines = [
            f"Best of {one.trials} trials by `pml-hyperbolic search`: validation {metric} "
            f"{one.value:.4f}",
            f"(settings it started from: {own}; {one.diverged} trials diverged).",
        ]
        lines += [] if one.advice is None else [one.advice]
        files[folder / METHOD_FOLDER / f"{one.method}.yaml"] = _commented(lines, method)
    return files


def found_table(found: Sequence[Found]) -> str:
    """One line for each method: trials, scores in percent and chosen values."""
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
    return "".join(f"# {line}\n" for line in lines) + dump_yaml(content)
