"""Is a difference between two methods real? A bootstrap over repetitions and over queries."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

REPLICATES = 4000
# Counts of one block of replicates and queries: 16 MiB in float32.
_BLOCK = 4_000_000
# Logarithm of the least p-value told apart from 0.
_LOWEST = -230.0


class PairedTest(NamedTuple):
    """A mean difference, half of its interval's width, its standard error and p-value.

    All but the difference are NaN where the repetitions tell nothing about others: a single one,
    or several that differ by exactly the same.
    """

    difference: float
    half_width: float
    standard_error: float
    p_value: float


@dataclass(frozen=True)
class PairedBootstrap:
    """Replicates of a mean difference: of repetitions, of queries and of both.

    Differences of two such objects, and multiples, are again replicates, of the difference of the
    means, as long as both came from one call of :func:`paired_bootstrap`.

    Args:
        difference: the mean difference itself.
        repetitions: how many seeds it is a mean of.
        queries: how many queries it is a mean of; 1 where only totals are known.
        deviations: (3, B) replicates less the difference: with repetitions resampled, with queries
            resampled, with both.
    """

    difference: float
    repetitions: int
    queries: int
    deviations: np.ndarray

    def __sub__(self, other: "PairedBootstrap") -> "PairedBootstrap":
        if (self.repetitions, self.queries) != (other.repetitions, other.queries):
            raise ValueError(
                f"replicates of {self.repetitions} x {self.queries} repetitions and queries and of "
                f"{other.repetitions} x {other.queries} are not paired"
            )
        return PairedBootstrap(
            self.difference - other.difference,
            self.repetitions,
            self.queries,
            self.deviations - other.deviations,
        )

    def __rmul__(self, factor: float) -> "PairedBootstrap":
        return PairedBootstrap(
            factor * self.difference, self.repetitions, self.queries, factor * self.deviations
        )

    def test(self, confidence: float = 0.95) -> PairedTest:
        """Two-sided test of no difference, and the interval of what it would not reject.

        With three to five seeds the usual ways are not valid: the percentiles of a bootstrap are
        too narrow by their missing degrees of freedom (with 3 seeds they reject a quarter of all
        true nulls, with 5 a seventh), Satterthwaite's degrees of freedom trust a seeds' variance
        that came out small by chance, and an exact test by signs cannot get below 2 / 2^5 = 0.06
        with five seeds. So the bootstrap supplies the variance, that of the repetitions plus that
        of the queries less what both count (their interaction), never below the larger of the two;
        and the half-widths of an interval over repetitions and of one over queries, each with
        Student's t of its own, are added in quadrature (Zou and Donner 2008). The p-value is the
        level at which that interval ends at 0. Rejects at most what it says where means of seeds
        are about normal, fewer where queries dominate.

        Args:
            confidence: of the interval, between 0 and 1. Default 0.95.
        """
        if self.repetitions < 2:
            return PairedTest(self.difference, math.nan, math.nan, math.nan)
        by_repetitions, rest = self._variances()
        error = math.sqrt(by_repetitions + rest)
        if error == 0:
            # The same difference each time, as totals of two deterministic methods have, says
            # nothing of its spread; no difference at all is one method twice.
            same = self.difference == 0
            return PairedTest(self.difference, *((0.0, 0.0, 1.0) if same else (math.nan,) * 3))
        half_width = self._half_width(by_repetitions, rest, 1 - confidence)

        def excess(log_level):
            return self._half_width(by_repetitions, rest, math.exp(log_level)) - abs(
                self.difference
            )

        p_value = 0.0
        if excess(_LOWEST) > 0:
            p_value = math.exp(optimize.brentq(excess, _LOWEST, 0.0))
        return PairedTest(self.difference, half_width, error, p_value)

    def _variances(self):
        """Of the mean over repetitions, and what queries add to it."""
        of_repetitions, of_queries, of_both = self.deviations
        interaction = of_both - of_repetitions - of_queries
        by_repetitions, by_queries, common = (
            float(np.mean(np.square(part))) for part in (of_repetitions, of_queries, interaction)
        )
        variance = max(by_repetitions + by_queries - common, by_repetitions, by_queries)
        return by_repetitions, variance - by_repetitions

    def _half_width(self, by_repetitions, rest, level):
        square = by_repetitions * stats.t.isf(level / 2, self.repetitions - 1) ** 2
        if rest > 0:
            square += rest * stats.t.isf(level / 2, self.queries - 1) ** 2
        return math.sqrt(square)


def paired_bootstrap(
    differences: Sequence[np.ndarray], *, replicates: int = REPLICATES, seed: int = 0
) -> list[PairedBootstrap]:
    """Resample repetitions and queries of several comparisons at once.

    Seeds and queries are crossed: each replicate draws as many of the queries as there are, the
    same for all seeds, and one seed fewer than there are, which makes the seeds' variance right
    for small numbers of them (Rao and Wu 1988). All comparisons see the same draws, so that their
    replicates may be subtracted from each other. Queries are drawn one by one: the result speaks of
    other queries of these test classes.

    Args:
        differences: of each comparison, (S, Q) scores less the baseline's, paired by seed and
            query; S may differ between comparisons, Q may not.
        replicates: B. Default 4000: standard errors are right to about 1%.
        seed: of the draws. Default 0.

    Raises:
        ValueError: numbers of queries differ, or there is nothing to resample.
    """
    if not differences:
        return []
    counts = {values.shape[1] for values in differences}
    if len(counts) > 1 or not all(values.size for values in differences):
        raise ValueError(
            f"expected (S, Q) differences with one Q and no S of 0, got "
            f"{[values.shape for values in differences]}"
        )
    queries = counts.pop()
    means = [values.mean(axis=1, dtype=np.float64) for values in differences]
    centred = np.concatenate(
        [
            (values - mean[:, None]).astype(np.float32)
            for values, mean in zip(differences, means, strict=True)
        ]
    )
    shifts = _query_means(centred, replicates, np.random.default_rng(seed))
    result, start = [], 0
    for mean in means:
        repetitions = len(mean)
        shift = shifts[:, start : start + repetitions]
        start += repetitions
        weights = _repetition_weights(repetitions, replicates, seed)
        difference = float(mean.mean())
        of_repetitions = weights @ (mean - difference)
        of_queries = shift.mean(axis=1)
        of_both = of_repetitions + np.einsum("bs,bs->b", weights, shift)
        result.append(
            PairedBootstrap(
                difference, repetitions, queries, np.stack([of_repetitions, of_queries, of_both])
            )
        )
    return result


def share_interval(
    part: PairedBootstrap, whole: PairedBootstrap, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Interval of the quotient of two differences: the shares that a test does not reject.

    A share ``s`` is inside where ``part - s * whole`` is not shown to differ from 0 (Fieller).

    Args:
        part: the difference to be expressed as a share.
        whole: of which; from the same call of :func:`paired_bootstrap`.
        confidence: between 0 and 1. Default 0.95.

    Returns:
        (low, high), or None where ``whole`` itself is not shown to differ from 0: then any share
        would do.
    """
    test = whole.test(confidence)
    if not test.half_width < abs(test.difference):
        return None
    middle = part.difference / whole.difference

    def excess(share):
        # Without the p-value of a test, which costs more than all the rest.
        apart = part - share * whole
        return apart._half_width(*apart._variances(), 1 - confidence) - abs(apart.difference)

    ends = []
    for sign in (-1, 1):
        step = 1e-3 * max(1.0, abs(middle))
        while excess(middle + sign * step) > 0:
            step *= 2
            if step > 1e6 * max(1.0, abs(middle)):
                return None
        ends.append(optimize.brentq(excess, middle, middle + sign * step))
    return ends[0], ends[1]


def _query_means(centred, replicates, generator):
    """(B, R) means of R rows under B draws of their Q columns, in blocks of replicates."""
    queries = centred.shape[1]
    columns = np.ascontiguousarray(centred.T)
    means = np.empty((replicates, len(centred)))
    block = max(1, _BLOCK // queries)
    for start in range(0, replicates, block):
        rows = min(block, replicates - start)
        drawn = generator.integers(queries, size=(rows, queries), dtype=np.int32)
        drawn += np.arange(rows, dtype=np.int32)[:, None] * queries
        counts = np.bincount(drawn.ravel(), minlength=rows * queries).reshape(rows, queries)
        means[start : start + rows] = counts.astype(np.float32) @ columns
    return means / queries


def _repetition_weights(repetitions, replicates, seed):
    """(B, S) weights of the drawn seeds, the same for all comparisons of S seeds."""
    draws = max(repetitions - 1, 1)
    generator = np.random.default_rng([seed, repetitions])
    uniform = np.full(repetitions, 1 / repetitions)
    return generator.multinomial(draws, uniform, size=replicates) / draws
