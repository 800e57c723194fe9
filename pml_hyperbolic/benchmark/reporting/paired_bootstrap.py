"""The paired bootstrap: is a difference between two methods real?"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from .statistics import SIGNIFICANCE

REPLICATES = 4000
# Replicates times queries in a block, whose counts take 16 MiB in float32.
_BLOCK = 4_000_000
# Logarithm of the smallest p-value that is distinguished from 0.
_LOWEST = -230.0


class PairedTest(NamedTuple):
    """A mean difference, the half-width of its interval, its standard error and its p-value.

    All but the difference are NaN if the repetitions say nothing about others: there is only one,
    or the difference is exactly the same in all of them.
    """

    difference: float
    half_width: float
    standard_error: float
    p_value: float


@dataclass(frozen=True)
class PairedBootstrap:
    """Bootstrap replicates of a mean difference, over repetitions, over queries and over both.

    The difference of two such objects from one call of :func:`paired_bootstrap`, and a multiple of
    one, are again replicates: of the difference of the means, and of its multiple.

    Args:
        difference: the mean difference itself.
        repetitions: number of seeds that it is averaged over.
        queries: number of queries that it is averaged over; 1 if only totals are known.
        deviations: (3, B) replicates minus the difference, with repetitions resampled, with
            queries resampled, and with both resampled.
    """

    difference: float
    repetitions: int
    queries: int
    deviations: np.ndarray

    def __sub__(self, other: "PairedBootstrap") -> "PairedBootstrap":
        if (self.repetitions, self.queries) != (other.repetitions, other.queries):
            raise ValueError(
                f"replicates of {self.repetitions} x {self.queries} repetitions and queries are "
                f"not paired with those of {other.repetitions} x {other.queries}"
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

    def test(self) -> PairedTest:
        """Test the difference against 0, two-sided, and return the 95% interval of the same test.

        With three to five seeds the usual methods are not valid. Bootstrap percentiles ignore the
        missing degrees of freedom and are too narrow: they reject a quarter of all true null
        hypotheses with 3 seeds and a seventh with 5. Satterthwaite's degrees of freedom trust a
        variance over seeds that is small by chance. An exact sign test cannot reach a p-value
        below 2 / 2^5 = 0.06 with five seeds.

        So the bootstrap supplies the variance only: that over repetitions plus that over queries
        minus their interaction, which both contain, but at least the larger of the two. The
        half-width of the interval over repetitions and that over queries, each from Student's t
        with its own degrees of freedom, are added in quadrature (Zou and Donner, 2008). The
        p-value is the level at which the interval ends at 0. The test keeps its level if the means
        of seeds are approximately normal, and is conservative if neither part dominates the
        variance; docs/statistics.md has its coverage and power, measured.
        """
        if self.repetitions < 2:
            return PairedTest(self.difference, math.nan, math.nan, math.nan)
        by_repetitions, rest = self._variances()
        error = math.sqrt(by_repetitions + rest)
        if error == 0:
            # The same difference each time, as between the totals of two deterministic methods,
            # says nothing about its spread. A difference of 0 is one method compared with itself.
            same = self.difference == 0
            return PairedTest(self.difference, *((0.0, 0.0, 1.0) if same else (math.nan,) * 3))
        half_width = self._half_width(by_repetitions, rest, SIGNIFICANCE)

        def excess(log_level):
            return self._half_width(by_repetitions, rest, math.exp(log_level)) - abs(
                self.difference
            )

        p_value = 0.0
        if excess(_LOWEST) > 0:
            p_value = math.exp(optimize.brentq(excess, _LOWEST, 0.0))
        return PairedTest(self.difference, half_width, error, p_value)

    def _variances(self):
        """Return the variance over repetitions, and what queries add to it."""
        of_repetitions, of_queries, of_both = self.deviations
        interaction = of_both - of_repetitions - of_queries
        by_repetitions, by_queries, common = (
            float(np.mean(np.square(part))) for part in (of_repetitions, of_queries, interaction)
        )
        # The variance of Q draws from Q queries is (Q - 1) / Q of that of new queries.
        if self.queries > 1:
            by_queries *= self.queries / (self.queries - 1)
            common *= self.queries / (self.queries - 1)
        variance = max(by_repetitions + by_queries - common, by_repetitions, by_queries)
        return by_repetitions, variance - by_repetitions

    def _half_width(self, by_repetitions, rest, level):
        # The function behind stats.t.isf, whose checks of its arguments take fifty times as long.
        square = by_repetitions * special.stdtrit(self.repetitions - 1, level / 2) ** 2
        if rest > 0:
            square += rest * special.stdtrit(self.queries - 1, level / 2) ** 2
        return math.sqrt(square)


def paired_bootstrap(
    differences: Sequence[np.ndarray], *, replicates: int = REPLICATES, seed: int = 0
) -> list[PairedBootstrap]:
    """Resample the repetitions and the queries of several comparisons at once.

    Seeds and queries are crossed. Each replicate draws Q of the Q queries with replacement, the
    same for all seeds, and S - 1 of the S seeds, which makes the variance over seeds unbiased
    however few they are (Rao and Wu, 1988). All comparisons use the same draws, so that their
    replicates can be subtracted from each other. Because queries are drawn individually, the
    result generalises to other queries of these test classes.

    Args:
        differences: for each comparison, (S, Q) scores minus the baseline's, paired by seed and
            query; S may differ between comparisons, Q may not.
        replicates: their number B. Default 4000, which gives standard errors to about 1%.
        seed: of the draws. Default 0.

    Raises:
        ValueError: the numbers of queries differ, or there is nothing to resample.
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


def share_interval(part: PairedBootstrap, whole: PairedBootstrap) -> tuple[float, float] | None:
    """Return the 95% confidence interval of the quotient of two differences (Fieller).

    It consists of the shares ``s`` for which ``part - s * whole`` is not shown to differ from 0.

    Args:
        part: the numerator.
        whole: the denominator, from the same call of :func:`paired_bootstrap`.

    Returns:
        (low, high), or None if the interval is unbounded because ``whole`` is not shown to differ
        from 0.
    """
    test = whole.test()
    if not test.half_width < abs(test.difference):
        return None
    middle = part.difference / whole.difference

    def excess(share):
        # This leaves out the p-value of a test, which costs more than everything else.
        apart = part - share * whole
        return apart._half_width(*apart._variances(), SIGNIFICANCE) - abs(apart.difference)

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
    """Return (B, R) means of R rows under B draws of their Q columns, in blocks of replicates."""
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


@functools.lru_cache(maxsize=8)
def _repetition_weights(repetitions, replicates, seed):
    """Return (B, S) weights of the drawn seeds, the same for all comparisons of S seeds."""
    draws = max(repetitions - 1, 1)
    generator = np.random.default_rng([seed, repetitions])
    uniform = np.full(repetitions, 1 / repetitions)
    weights = generator.multinomial(draws, uniform, size=replicates) / draws
    # All callers share this array.
    weights.flags.writeable = False
    return weights
