"""The lines of a report that stand for the untrained networks, and the methods below them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InputError
from ..results.metric_names import PRIMARY
from ..results.run_files import UNTRAINED_FILE
from ..results.untrained_scores import read_untrained
from .benchmark_results import BenchmarkResults
from .score_group import ScoreGroup
from .statistics import mean_interval

# The mark of a method that scores below the untrained networks.
BELOW = "†"


@dataclass(frozen=True)
class UntrainedLine:
    """Scores of an untrained embedding by cosine similarity.

    Args:
        name: display name.
        protocol_hash: of the benchmark.
        dimension: of the embedding.
        test: metric -> value on the test classes for each seed, the mean over the folds. There is
            one value where all seeds start from the same weights.
        test_levels: name of a coarser level -> metric -> likewise.
        seeds_known: whether the line was scored for every seed, and not for the first only.
    """

    name: str
    protocol_hash: str
    dimension: int
    test: dict[str, list[float]]
    test_levels: dict[str, dict[str, list[float]]]
    seeds_known: bool

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over the seeds."""
        return statistics.fmean(self.test[metric])


def untrained_lines(results: BenchmarkResults) -> tuple[list[UntrainedLine], list[str]]:
    """Return the untrained lines of every protocol, and sentences on those that are missing.

    Args:
        results: of which ``untrained.json`` lies beside the folders of the methods.
    """
    lines: dict[str, list[UntrainedLine]] = {}
    problems: dict[str, str] = {}
    for run in results.runs:
        protocol, folder = run.first.protocol_hash, run.folder.resolve().parents[1]
        if protocol in lines:
            continue
        try:
            lines[protocol] = _lines(folder, protocol)
            problems.pop(protocol, None)
        except FileNotFoundError:
            problems.setdefault(
                protocol,
                f"The scores of the untrained trunk and head are missing (no {UNTRAINED_FILE} "
                f"beside the runs): `pml-hyperbolic run` with the same config adds them and keeps "
                f"the finished runs.",
            )
        except InputError as error:
            problems[protocol] = f"The scores of the untrained trunk and head are missing: {error}."
    return [line for of_protocol in lines.values() for line in of_protocol], list(
        dict.fromkeys(problems.values())
    )


def lines_above(group: ScoreGroup, lines: Sequence[UntrainedLine]) -> list[UntrainedLine]:
    """Return the untrained lines of a method's protocol that it scores below, in MAP@R.

    Args:
        group: a line of the report.
        lines: all untrained lines.
    """
    values = group.values("test", PRIMARY)
    return [
        line
        for line in lines
        if values
        and line.protocol_hash == group.first.protocol_hash
        and mean_interval(values).mean < line.mean(PRIMARY)
    ]


def untrained_notes(groups: Sequence[ScoreGroup], lines: Sequence[UntrainedLine]) -> list[str]:
    """Return sentences on the untrained lines, and on the methods that fall below them.

    Args:
        groups: all lines of trained methods.
        lines: all untrained lines.
    """
    if not lines:
        return []
    start = "of each seed" if all(line.seeds_known for line in lines) else "of the first seed"
    notes = [
        f"Untrained trunk and head: the networks as the runs {start} start, ranked by cosine "
        f"similarity; the trunk's features at their full dimension."
    ]
    below = []
    for line in lines:
        titles = [group.title for group in groups if line in lines_above(group, lines)]
        if titles:
            below.append(
                f"below the {line.name} ({100 * line.mean(PRIMARY):.1f}% MAP@R at "
                f"{line.dimension} dimensions) stay {', '.join(titles)}"
            )
    if below:
        notes.append(
            f"{BELOW} On these test classes, training did more harm than good: {'; '.join(below)}."
        )
    return notes


def _lines(folder, protocol):
    """Read the lines of one benchmark: for each seed the mean over its folds."""
    scores = read_untrained(folder / UNTRAINED_FILE)
    lines = []
    for name in dict.fromkeys(one.name for one in scores):
        own = [one for one in scores if one.name == name]
        seeds = dict.fromkeys(one.seed for one in own)
        levels = dict.fromkeys(level for one in own for level in one.test_levels)
        lines.append(
            UntrainedLine(
                name,
                protocol,
                own[0].dimension,
                _means([[one.test for one in own if one.seed == seed] for seed in seeds]),
                {
                    level: _means(
                        [
                            [one.test_levels.get(level, {}) for one in own if one.seed == seed]
                            for seed in seeds
                        ]
                    )
                    for level in levels
                },
                None not in seeds,
            )
        )
    return lines


def _means(of_seeds):
    """For each seed the mean over the folds, of each metric that all of these have."""
    every = [one for folds in of_seeds for one in folds]
    shared = [metric for metric in every[0] if all(metric in one for one in every)]
    return {
        metric: [statistics.fmean(one[metric] for one in folds) for folds in of_seeds]
        for metric in shared
    }
