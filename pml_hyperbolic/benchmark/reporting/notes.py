"""Notes under a report's tables: how to read them, and what could not be compared."""

import math
from collections.abc import Collection, Mapping, Sequence

from ..config import value_at
from ..results.metric_names import MAP_AT_R, PRECISION_AT_1
from .benchmark_results import BenchmarkResults
from .comparison import Comparison
from .paired_bootstrap import REPLICATES
from .score_group import ScoreGroup, level_names, repetitions
from .statistics import SIGNIFICANCE


def reading_notes(
    groups: Sequence[ScoreGroup],
    baseline: ScoreGroup,
    reason: str,
    comparisons: Mapping[int, Comparison],
    twins: Collection[str],
) -> list[str]:
    """Return sentences on how to read the tables.

    Args:
        groups: all lines.
        baseline: one of the lines.
        reason: why this line is the baseline.
        comparisons: number of a line -> its comparison in the primary metric.
        twins: methods that are flat twins of others.
    """
    notes = [
        f"Scores are percentages on the test classes, computed once with the checkpoint selected "
        f"on the validation classes; {_repeats(groups)}; epoch: median (range).",
    ]
    if len({group.first.total_dimension for group in groups}) > 1:
        notes.append("Total dimensions differ between methods.")
    if comparisons:
        notes.append(
            f"Difference: MAP@R minus that of {baseline.title}, {reason}, in percentage points"
            f"{_testing(groups, comparisons, twins)}."
        )
    notes.append(
        "Train - test: MAP@R on the training classes minus that on the test classes; spread: "
        "standard deviation of MAP@R over the repetitions."
    )
    unranked = [
        level
        for level in level_names(groups)
        if any(
            group.level_values(level, PRECISION_AT_1) and not group.level_values(level, MAP_AT_R)
            for group in groups
        )
    ]
    if unranked:
        notes.append(
            f"R-Precision and MAP@R are not given on the level {' and '.join(unranked)}: for every "
            f"query they rank as many images as its class has, which are too many there."
        )
    return notes


def pairing_notes(
    groups: Sequence[ScoreGroup], baseline: ScoreGroup, comparisons: Mapping[int, Comparison]
) -> list[str]:
    """Return sentences on what could not be paired or tested.

    Args:
        groups: all lines.
        baseline: one of the lines.
        comparisons: number of a line -> its comparison in the primary metric.
    """
    notes = []
    seeds_only = [groups[i].title for i, c in comparisons.items() if not c.over_queries]
    if seeds_only:
        which = "all" if len(seeds_only) == len(comparisons) else ", ".join(seeds_only)
        notes.append(
            f"Compared over seeds only, because the runs did not store scores of the same queries "
            f"(queries.npz): {which}."
        )
    apart = [
        group.title
        for i, group in enumerate(groups)
        if group is not baseline and i not in comparisons
    ]
    if apart:
        notes.append(
            f"Not compared, because they share no fold and seed with the baseline: "
            f"{', '.join(apart)}."
        )
    fewer = [
        f"{groups[i].title} ({len(c.keys)})"
        for i, c in comparisons.items()
        if len(c.keys) < max(len(groups[i].runs), len(baseline.runs))
    ]
    if fewer:
        notes.append(
            f"Compared only on the runs that they share with the baseline: {', '.join(fewer)}."
        )
    if any(math.isnan(c.p_corrected) for c in comparisons.values()):
        notes.append(
            "Not tested: differences over a single seed, whose folds train on overlapping "
            "classes, and differences that are exactly the same for all seeds."
        )
    return notes


def rate_notes(results: BenchmarkResults, groups: Sequence[ScoreGroup]) -> list[str]:
    """Return sentences on how the learning rates of the network were chosen.

    Args:
        results: all runs.
        groups: all lines.
    """
    tuned = results.tuned_rates
    notes = []
    if tuned:
        trials = {m: results.setting(m, "search_trials") for m in results.methods}
        unsearched = [m for m, count in trials.items() if not count]
        how = "tuned for each method, in the same range and with the same number of trials"
        if len(set(trials.values())) > 1:
            counts = ", ".join(f"{m} {count}" for m, count in trials.items())
            how = f"tuned for each method, but with different numbers of trials ({counts})"
        if unsearched:
            which = "all methods" if unsearched == results.methods else ", ".join(unsearched)
            how = f"each method's own, but stated without a search for {which}"
        notes.append(f"Learning rates ({', '.join(tuned)}): {how}.")
    notes += _edge_notes(results)
    fixed = {one["head_lr"] for one in results.optimizers if isinstance(one.get("head_lr"), float)}
    spaces = {
        space: list(dict.fromkeys(g.method for g in groups if g.space == space))
        for space in ("euclidean", "hyperbolic")
    }
    if fixed and all(spaces.values()):
        rate = " or ".join(f"{value:g}" for value in sorted(fixed))
        flat, curved = (", ".join(names) for names in spaces.values())
        notes.append(
            f"One head_lr ({rate}) is shared by methods that are ranked by cosine ({flat}) and in "
            f"a ball ({curved}), whose best rates differ: cosine does not see the scale of the "
            f"head, and a ball's best rate was 3 to 8 times lower on photos of birds. So it was "
            f"chosen for one geometry at most; protocol.optimizer.head_lr: tuned gives each method "
            f"its own."
        )
    return notes


def _edge_notes(results):
    """Name the tuned values beside which a better one may lie outside the searched range."""
    for config in results.configs:
        for method, settings in (config.get("methods") or {}).items():
            found = (settings or {}).get("tuned") or {}
            if method not in results.methods or method in results.twins:
                continue
            if found.get("at_edge"):
                values = " and ".join(
                    f"{path} = {value_at(settings, path):g}" for path in found["at_edge"]
                )
                yield (
                    f"{method}: the search chose {values}, at the edge of what it tried: there may "
                    f"be a better value beyond."
                )


def _repeats(groups):
    """Describe what means and intervals are taken over."""
    counts = {len(repetitions(group.runs)) for group in groups}
    count = " or ".join(str(c) for c in sorted(counts))
    folds = max(len({fold for fold, _ in group.runs}) for group in groups)
    seeds = max(len({seed for _, seed in group.runs}) for group in groups)
    if max(counts) == 1:
        return "one seed"
    if seeds == 1:
        return (
            f"mean ± 95% t-interval over {count} folds of one seed (their training classes "
            f"overlap, so the interval is narrower than one over new data)"
        )
    averaged = f", each the mean of its {folds} folds" if folds > 1 else ""
    return f"mean ± 95% t-interval over {count} seeds{averaged}"


def _testing(groups, comparisons, twins):
    """Describe how differences were tested; nothing if none was."""
    tested = [groups[i].method for i, c in comparisons.items() if not math.isnan(c.p_corrected)]
    if not tested:
        return ""
    over, others = "seeds", "seeds"
    if all(comparison.over_queries for comparison in comparisons.values()):
        over, others = "seeds and queries", "seeds and other queries of these classes"
    flat = sum(method in twins for method in tested)
    contenders = len(tested) - flat
    family = f"{contenders} comparison{'' if contenders == 1 else 's'}"
    separately = f", and separately over {flat} of flat twins" if flat else ""
    return (
        f", with its 95% interval (paired bootstrap over {over}, {REPLICATES} replicates; "
        f"Student-t intervals; they generalise to other {others}); p: two-sided, with Holm's "
        f"correction over {family}{separately}; better or worse: p < {SIGNIFICANCE}"
    )
