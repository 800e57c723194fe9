"""Benchmarks of a known truth, as a report's functions read them; a table of what these then say.

python -m tests.benchmark.reporting.simulated_reports [WORLDS] prints the table of
docs/statistics.md.

A score is 0.5 + gain of the method + effect of the fold + difficulty of the query
+ seed effect (method, seed) + fold effect of the seed (method, seed, fold)
+ query effect (method, query) + noise (method, seed, fold, query).
R@1 of a query is whether that sum is above a threshold. The truth is the mean over new seeds and
queries; of the rows' validation scores and of means it is that over new seeds for these queries.
"""

import itertools
import math
import sys
from collections import Counter
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
from scipy import special, stats

from pml_hyperbolic.benchmark.reporting.comparison import (
    choose_baseline,
    compare,
    compare_validation,
    curvature_controls,
)
from pml_hyperbolic.benchmark.reporting.score_group import ScoreGroup
from pml_hyperbolic.benchmark.reporting.statistics import mean_interval
from pml_hyperbolic.benchmark.results.metric_names import PRECISION_AT_1, PRIMARY

LEVEL = 0.05
DIFFICULTY = 0.25
FOLDS = np.array([0.0, 0.03, -0.02, 0.01])
METHODS = ("base", "a", "b", "hyp", "hyp_flat")
# Euclidean methods, a hyperbolic one, and its flat twin.
SPACES = ("euclidean", "euclidean", "euclidean", "hyperbolic", "hyperbolic")
TWINS = {"hyp_flat": "hyp"}
EFFECTS = {
    "seeds": (0.03, 0.0, 0.05),
    "queries": (0.0, 0.15, 0.05),
    "both": (0.02, 0.1, 0.1),
    "noise": (0.0, 0.0, 0.2),
}


@dataclass(frozen=True)
class Setting:
    """How the scores of a world vary.

    Attributes:
        seeds: number of seeds.
        folds: number of folds.
        effects: key of ``EFFECTS``: standard deviations of seed effects, query effects and noise.
        queries: number of queries.
        gain: of the methods a and hyp over the others. Default 0: all methods are alike.
        skewed: whether seed effects are exponential instead of normal.
        threshold: the sum above which a query counts as right. Default 0.4: about two in three.
    """

    seeds: int
    folds: int
    effects: str
    queries: int = 60
    gain: float = 0.0
    skewed: bool = False
    threshold: float = 0.4

    @property
    def gains(self):
        """Gain of each method."""
        return np.array([0.0, self.gain, 0.0, self.gain, 0.0])


class SimulatedRun:
    """What a comparison asks of a finished run."""

    def __init__(self, scores):
        self._scores = scores
        self._indices = np.arange(len(scores[PRIMARY]))

    def query_scores(self, space, metric):
        return self._scores[metric]

    def query_indices(self):
        return self._indices


@dataclass(frozen=True)
class World:
    """One benchmark's outcome.

    Attributes:
        scores: (methods, seeds, folds, queries).
        validation: (methods, seeds, folds).
        truth: metric -> (methods,) expected scores.
        given_queries: (methods,) expected scores of these queries.
        given_validation: (methods,) expected validation scores.
        threshold: of the setting.
    """

    scores: np.ndarray
    validation: np.ndarray
    truth: dict[str, np.ndarray]
    given_queries: np.ndarray
    given_validation: np.ndarray
    threshold: float

    def groups(self):
        """The lines of the report."""
        groups = []
        for m, (method, space) in enumerate(zip(METHODS, SPACES, strict=True)):
            runs, rows = {}, {}
            for s, f in np.ndindex(self.scores.shape[1:3]):
                scores = self.scores[m, s, f].astype(np.float32)
                right = (scores > self.threshold).astype(np.float32)
                runs[f, s] = SimulatedRun({PRIMARY: scores, PRECISION_AT_1: right})
                test = {PRIMARY: float(scores.mean()), PRECISION_AT_1: float(right.mean())}
                rows[f, s] = SimpleNamespace(
                    test=test, validation={PRIMARY: float(self.validation[m, s, f])}
                )
            groups.append(ScoreGroup(method, space, runs, rows))
        return groups


def simulate(setting: Setting, generator: np.random.Generator) -> World:
    """Draw a world."""
    by_seed, by_query, noise = EFFECTS[setting.effects]
    methods, shape = len(METHODS), (len(METHODS), setting.seeds, setting.folds)
    draw = generator.standard_normal
    of_seeds = draw((methods, setting.seeds, 1))
    if setting.skewed:
        of_seeds = generator.standard_exponential((methods, setting.seeds, 1)) - 1
    seeds = by_seed * of_seeds + by_seed / 2 * draw(shape)
    folds = FOLDS[: setting.folds]
    level = 0.5 + setting.gains[:, None] + folds
    queries = DIFFICULTY * draw(setting.queries) + by_query * draw((methods, setting.queries))
    scores = (
        (level[:, None] + seeds)[..., None]
        + queries[:, None, None]
        + noise * draw((*shape, setting.queries))
    )
    on_validation = level.mean(axis=1) + by_query / math.sqrt(setting.queries) * draw(methods)
    error = noise / math.sqrt(setting.queries)
    validation = on_validation[:, None, None] + seeds + error * draw(shape)
    spread = math.sqrt(DIFFICULTY**2 + 1.25 * by_seed**2 + by_query**2 + noise**2)
    truth = {
        PRIMARY: level.mean(axis=1),
        PRECISION_AT_1: special.ndtr((level - setting.threshold) / spread).mean(axis=1),
    }
    given_queries = level.mean(axis=1) + queries.mean(axis=1)
    return World(scores, validation, truth, given_queries, on_validation, setting.threshold)


def judge(world: World) -> dict[str, tuple[float, float]]:
    """Name -> (how often a statement of the report was right or made, of how many)."""
    groups = world.groups()
    baseline, _ = choose_baseline(groups, None)
    found: dict[str, tuple[float, float]] = {}

    def covers(name, pairs):
        inside = [
            abs(test.difference - truth) <= test.half_width + 1e-12
            for test, truth in pairs
            # Nothing is claimed where there is no spread.
            if not math.isnan(test.half_width)
        ]
        found[f"{name} covered"] = sum(inside), len(inside)

    def errors(name, verdicts):
        """Family-wise: whether any method is said to differ that does not."""
        wrong = [verdict in ("better", "worse") for verdict, gain in verdicts if gain == 0]
        shown = [verdict == "better" for verdict, gain in verdicts if gain > 0]
        if wrong:
            found[f"{name} false"] = float(any(wrong)), 1
        if shown:
            found[f"{name} power"] = sum(shown), len(shown)

    comparisons = compare(groups, baseline, TWINS)
    # AP's gains are those of all metrics: a method that is no better has no better R@1.
    gains = world.truth[PRIMARY] - world.truth[PRIMARY][0]
    gains[np.abs(gains) < 1e-12] = 0
    names = {PRIMARY: "MAP@R", PRECISION_AT_1: "R@1"}
    for metric, of_lines in comparisons.items():
        truth = world.truth[metric] - world.truth[metric][0]
        covers(names[metric], [(one.test, truth[i]) for i, one in of_lines.items()])
        contenders = [i for i in of_lines if METHODS[i] not in TWINS]
        errors(names[metric], [(of_lines[i].verdict, gains[i]) for i in contenders])
    of_validation = compare_validation(groups, baseline, TWINS)
    truth = world.given_validation - world.given_validation[0]
    covers("validation", [(one.test, truth[i]) for i, one in of_validation.items()])
    (control,) = curvature_controls(groups, baseline, comparisons[PRIMARY], TWINS)
    covers("control", [(control.against_twin, gains[3] - gains[4])])
    errors("control", [(control.verdict, gains[3])])
    intervals = [mean_interval(group.values("test", PRIMARY)) for group in groups]
    inside = [
        abs(interval.mean - truth) <= interval.half_width
        for interval, truth in zip(intervals, world.given_queries, strict=True)
    ]
    found["mean covered"] = sum(inside), len(inside)
    return found


def measure(setting: Setting, worlds: int, *, seed: int = 0) -> dict[str, float]:
    """Name -> share, over many worlds of one setting."""
    generator = np.random.default_rng([seed, setting.seeds, setting.folds, setting.queries])
    counts: Counter = Counter()
    totals: Counter = Counter()
    for _ in range(worlds):
        for name, (count, total) in judge(simulate(setting, generator)).items():
            counts[name] += count
            totals[name] += total
    return {name: float(counts[name] / totals[name]) for name in totals if totals[name]}


def allowed(share: float, worlds: int) -> float:
    """The share of worlds that an event of this probability exceeds once in ten thousand."""
    return float(stats.binom.isf(1e-4, worlds, share)) / worlds


COLUMNS = (
    "MAP@R covered",
    "R@1 covered",
    "validation covered",
    "control covered",
    "mean covered",
    "MAP@R false",
    "R@1 false",
    "control false",
    "MAP@R power",
    "R@1 power",
)


def main(worlds: int) -> None:
    """Print a line for each setting: of worlds without a gain and as many with one of 5 points."""
    print(f"| effects | seeds | folds | queries | {' | '.join(COLUMNS)} |")
    print("|" + " --- |" * (4 + len(COLUMNS)))
    settings = [
        Setting(seeds, folds, effects)
        for effects, seeds, folds in itertools.product(EFFECTS, (2, 3, 5), (1, 4))
    ]
    settings += [
        Setting(5, 1, "both", queries=20),
        Setting(5, 1, "both", queries=300),
        Setting(5, 1, "seeds", skewed=True),
        Setting(3, 1, "seeds", skewed=True),
        # One query in a hundred is wrong.
        Setting(5, 1, "both", threshold=-0.17),
        Setting(5, 1, "both", queries=600, threshold=-0.17),
    ]
    for setting in settings:
        none = measure(setting, worlds)
        some = measure(replace(setting, gain=0.05), worlds, seed=1)
        name = setting.effects + (", skewed" if setting.skewed else "")
        name += ", R@1 near 1" if setting.threshold < 0 else ""
        cells = [
            f"{100 * np.mean([found[column] for found in (none, some) if column in found]):.1f}"
            for column in COLUMNS
        ]
        print(
            f"| {name} | {setting.seeds} | {setting.folds} | {setting.queries} | "
            f"{' | '.join(cells)} |",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
