"""Comparisons of every method with a baseline, and of hyperbolic ones with their flat twins."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError, nearest
from ..results.metric_names import PRECISION_AT_1, PRIMARY
from .paired_bootstrap import PairedBootstrap, PairedTest, paired_bootstrap, share_interval
from .score_group import Key, ScoreGroup, Split, by_seed, common_keys
from .statistics import holm, verdict

# The report shows the comparison in the first; report.csv has both.
COMPARED_METRICS = (PRIMARY, PRECISION_AT_1)


@dataclass(frozen=True)
class Comparison:
    """One line of a report compared with the baseline, in one metric.

    Args:
        replicates: bootstrap replicates of the difference.
        test: of the difference.
        p_corrected: with Holm's correction over all lines; NaN if nothing could be tested.
        keys: (fold, seed) of the runs that were paired.
        over_queries: whether queries were resampled as well as seeds.
    """

    replicates: PairedBootstrap
    test: PairedTest
    p_corrected: float
    keys: list[Key]
    over_queries: bool

    @property
    def verdict(self) -> str:
        """What the comparison has shown, in words."""
        return verdict(self.test.difference, self.p_corrected)


@dataclass(frozen=True)
class CurvatureControl:
    """A hyperbolic method beside its flat twin: is its gain due to curvature?

    Args:
        group: the method.
        twin: the same method with almost no curvature.
        gain: of the method over the baseline; None if one of the two is the baseline.
        twin_gain: of the twin over the baseline, likewise.
        share: the twin's share of the gain, with its interval; None if no gain is shown.
        against_twin: the method minus its twin.
        p_corrected: of the method minus its twin, with Holm's correction over all controls.
    """

    group: ScoreGroup
    twin: ScoreGroup
    gain: PairedTest | None
    twin_gain: PairedTest | None
    share: tuple[float, float, float] | None
    against_twin: PairedTest
    p_corrected: float

    @property
    def verdict(self) -> str:
        """Whether curvature itself improved the method, in words."""
        return verdict(self.against_twin.difference, self.p_corrected)


def choose_baseline(
    groups: Sequence[ScoreGroup], name: str | None, configured: str | None = None
) -> tuple[ScoreGroup, str]:
    """Return the line that others are compared with, and the reason for the choice.

    Args:
        groups: all lines.
        name: a method, or ``method/space``; None leaves the choice to the config.
        configured: the ``baseline`` of the config. Default, or if it was not run: the first method
            that has a Euclidean space only, else the first line.

    Raises:
        InputError: there is no such method or space.
    """
    methods = list(dict.fromkeys(group.method for group in groups))
    if name is not None:
        method, _, space = name.partition("/")
        if method not in methods:
            raise InputError(f"--baseline: no method {method!r}: {nearest(method, methods)}")
        spaces = [group.space for group in groups if group.method == method]
        if space and space not in spaces:
            raise InputError(
                f"--baseline: {method} has no space {space!r}: {nearest(space, spaces)}"
            )
        return _line(groups, method, space), "as requested"
    if configured in methods:
        return _line(groups, configured), "the config's baseline"
    for method in methods:
        if {group.space for group in groups if group.method == method} == {"euclidean"}:
            return _line(groups, method), "the first Euclidean method"
    return groups[0], "the first line, because no method is Euclidean only"


def compare(
    groups: Sequence[ScoreGroup], baseline: ScoreGroup, twins: Collection[str] = ()
) -> dict[str, dict[int, Comparison]]:
    """Compare all lines with the baseline, paired by fold, seed and query.

    With a single seed nothing is tested, however many folds it has, because one seed says nothing
    about others.

    Args:
        groups: all lines.
        baseline: one of the lines.
        twins: methods that are flat twins of others. They are controls and not contenders, so
            they are corrected separately. Default none.

    Returns:
        For each of ``COMPARED_METRICS``: number of a line -> its comparison, without the baseline
        and without lines that share no run with it.
    """
    keys = {
        i: shared
        for i, group in enumerate(groups)
        if group is not baseline and (shared := common_keys((group, baseline)))
    }
    paired = {i for i in keys if _same_queries(groups[i], baseline, keys[i])}
    with_queries: dict[tuple[str, int], np.ndarray] = {}
    totals: dict[tuple[str, int], np.ndarray] = {}
    for metric in COMPARED_METRICS:
        scores = {
            key: baseline.runs[key].query_scores(baseline.space, metric)
            for key in sorted({key for i in paired for key in keys[i]})
        }
        for i in keys:
            difference = _of_queries(groups[i], metric, keys[i], scores) if i in paired else None
            if difference is not None:
                with_queries[metric, i] = difference
            else:
                totals[metric, i] = _of_totals(groups[i], baseline, metric, keys[i])
    replicates = {
        **dict(zip(with_queries, paired_bootstrap(_finite(with_queries)), strict=True)),
        **dict(zip(totals, paired_bootstrap(list(totals.values())), strict=True)),
    }
    return {
        metric: _tested(
            groups,
            {i: replicates[metric, i] for i in keys},
            keys,
            twins,
            over_queries={i for i in keys if (metric, i) in with_queries},
        )
        for metric in COMPARED_METRICS
    }


def compare_validation(
    groups: Sequence[ScoreGroup], baseline: ScoreGroup, twins: Collection[str] = ()
) -> dict[int, Comparison]:
    """Compare the validation scores of all lines with those of the baseline, over seeds only.

    Args:
        groups: all lines.
        baseline: one of the lines.
        twins: as in :func:`compare`.

    Returns:
        Number of a line -> its comparison in the primary metric, without lines that lack it.
    """
    if not baseline.values("validation", PRIMARY):
        return {}
    keys = {
        i: shared
        for i, group in enumerate(groups)
        if group is not baseline
        and group.values("validation", PRIMARY)
        and (shared := common_keys((group, baseline)))
    }
    differences = [
        _of_totals(groups[i], baseline, PRIMARY, shared, "validation") for i, shared in keys.items()
    ]
    replicates = dict(zip(keys, paired_bootstrap(differences), strict=True))
    return _tested(groups, replicates, keys, twins)


def curvature_controls(
    groups: Sequence[ScoreGroup],
    baseline: ScoreGroup,
    comparisons: dict[int, Comparison],
    twins: dict[str, str],
) -> list[CurvatureControl]:
    """Compare every method that has a flat twin with it, in the primary metric.

    Args:
        groups: all lines.
        baseline: one of the lines.
        comparisons: from :func:`compare`, in the primary metric.
        twins: name of a flat twin -> name of its method.

    Returns:
        One control for each twin; none for twins whose runs cannot be paired with the method's.
    """
    replicates = {i: c.replicates for i, c in comparisons.items()}
    # (method, twin, gain, gain of the twin, method minus twin, whether the gain is shown)
    found: list[
        tuple[
            ScoreGroup,
            ScoreGroup,
            PairedBootstrap | None,
            PairedBootstrap | None,
            PairedBootstrap,
            bool,
        ]
    ] = []
    for i, group in enumerate(groups):
        for j, twin in enumerate(groups):
            if twins.get(twin.method) != group.method or twin.space != group.space:
                continue
            if group.space != "hyperbolic" or not _paired_alike(comparisons, i, j):
                continue
            if i in comparisons and j in comparisons:
                gain, twin_gain = replicates[i], replicates[j]
                shown = comparisons[i].verdict == "better"
                found.append((group, twin, gain, twin_gain, gain - twin_gain, shown))
            # One of the two is the baseline, so there is no gain of which to take a share.
            elif i in comparisons:
                found.append((group, twin, None, None, replicates[i], False))
            elif j in comparisons:
                found.append((group, twin, None, None, -1.0 * replicates[j], False))
    tests = [against.test() for *_, against, _ in found]
    corrected = holm([test.p_value for test in tests])
    return [
        CurvatureControl(
            group,
            twin,
            gain.test() if gain else None,
            twin_gain.test() if twin_gain else None,
            _share(twin_gain, gain) if shown else None,
            test,
            p,
        )
        for (group, twin, gain, twin_gain, _, shown), test, p in zip(
            found, tests, corrected, strict=True
        )
    ]


def _line(groups, method, space=""):
    """Return a method's line in this space, else its Euclidean line, else its first line."""
    lines = [group for group in groups if group.method == method]
    wanted = space or "euclidean"
    return next((group for group in lines if group.space == wanted), lines[0])


def _same_queries(group, baseline, keys):
    """Return whether all these runs stored the scores of the same queries."""
    reference = next(iter(baseline.runs.values())).query_indices()
    if reference is None:
        return False
    for key in keys:
        for run in (group.runs[key], baseline.runs[key]):
            indices = run.query_indices()
            if indices is None or not np.array_equal(indices, reference):
                return False
    return True


def _of_queries(group, metric, keys, baseline_scores):
    """Return (S, Q) differences, averaged over folds; None if a run stored no query scores."""
    result = []
    for repetition in by_seed(keys):
        differences = []
        for key in repetition:
            scores = group.runs[key].query_scores(group.space, metric)
            if scores is None or baseline_scores[key] is None:
                return None
            differences.append(scores - baseline_scores[key])
        result.append(sum(differences) / len(repetition))
    return np.stack(result)


def _tested(groups, replicates, keys, twins, over_queries=frozenset()):
    """Test all replicates; p-values are corrected among contenders and among twins."""
    tests = {i: replicates[i].test() for i in keys}
    corrected: dict[int, float] = {}
    for family in (
        [i for i in keys if groups[i].method not in twins],
        [i for i in keys if groups[i].method in twins],
    ):
        values = holm([tests[i].p_value for i in family])
        corrected.update(zip(family, values, strict=True))
    return {
        i: Comparison(replicates[i], tests[i], corrected[i], keys[i], i in over_queries)
        for i in keys
    }


def _of_totals(group, baseline, metric, keys, split: Split = "test"):
    """Return (S, 1) differences of the scores in the rows, averaged over folds."""

    def difference(key):
        scores, reference = (getattr(line.rows[key], split) for line in (group, baseline))
        return scores[metric] - reference[metric]

    return np.array([[sum(map(difference, seed)) / len(seed)] for seed in by_seed(keys)])


def _finite(differences):
    """Leave out the queries that have no match, and therefore no score, in some run."""
    if not differences:
        return []
    known = np.logical_and.reduce([np.isfinite(d).all(axis=0) for d in differences.values()])
    return [d if known.all() else d[:, known] for d in differences.values()]


def _paired_alike(comparisons, *numbers):
    """Return whether these lines were compared with the baseline on the same runs and queries."""
    keys = [(comparisons[i].keys, comparisons[i].over_queries) for i in numbers if i in comparisons]
    return all(key == keys[0] for key in keys)


def _share(twin_gain, gain):
    """Return (share, low, high) of a gain, None if its interval is unbounded."""
    interval = share_interval(twin_gain, gain)
    if interval is None:
        return None
    return (twin_gain.difference / gain.difference, *interval)
