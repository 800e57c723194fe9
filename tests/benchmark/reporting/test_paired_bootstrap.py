"""The paired bootstrap agrees with slow loops, closed forms and simulations of known truth."""

import math

import numpy as np
import pytest
from scipy import stats

from pml_hyperbolic.benchmark.reporting import paired_bootstrap as paired_bootstrap_module
from pml_hyperbolic.benchmark.reporting.paired_bootstrap import (
    PairedBootstrap,
    paired_bootstrap,
    share_interval,
)
from pml_hyperbolic.benchmark.reporting.statistics import holm


def world(generator, seeds, queries, by_seed, by_query, by_both, difference=0.0):
    """(S, Q) differences with known parts of variance."""
    return (
        difference
        + by_seed * generator.normal(size=(seeds, 1))
        + by_query * generator.normal(size=(1, queries))
        + by_both * generator.normal(size=(seeds, queries))
    )


def closed_forms(values):
    """Variances of the mean by seeds, by queries and by their interaction, without resampling."""
    seeds, queries = values.shape
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    rest = values - rows[:, None] - columns + values.mean()
    rest_variance = (rest**2).sum() / (seeds - 1) / queries
    return (
        rows.var(ddof=1) / seeds,
        columns.var() / queries,
        rest_variance / (seeds * queries),
    )


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_variances_against_closed_forms(seeds):
    values = world(np.random.default_rng(seeds), seeds, 150, 0.3, 2.0, 2.0)
    (result,) = paired_bootstrap([values], replicates=20000)
    assert result.difference == pytest.approx(values.mean())
    of_seeds, of_queries, of_both = result.deviations
    parts = [np.mean(part**2) for part in (of_seeds, of_queries, of_both - of_seeds - of_queries)]
    # The relative error of a variance by B replicates is about sqrt(2 / B), here 1%.
    assert parts == pytest.approx(closed_forms(values), rel=0.06)
    assert result.deviations.mean(axis=1) == pytest.approx(
        [0, 0, 0], abs=4 * math.sqrt(max(parts) * 3 / 20000)
    )


def test_replicates_against_slow_loops():
    """Explicit draws of seeds and queries, one mean a replicate, give the same distribution."""
    generator = np.random.default_rng(0)
    values = world(generator, 4, 30, 0.3, 1.0, 1.0, difference=0.5) ** 3
    slow = []
    for _ in range(4000):
        seeds = generator.integers(4, size=3)
        queries = generator.integers(30, size=30)
        slow.append(sum(values[s, q] for s in seeds for q in queries) / 90)
    (result,) = paired_bootstrap([values])
    fast = result.difference + result.deviations[2]
    assert stats.ks_2samp(fast, slow).pvalue > 0.01
    assert fast.std() == pytest.approx(np.std(slow), rel=0.06)


def test_block_size_changes_nothing(monkeypatch):
    values = world(np.random.default_rng(0), 3, 50, 0.1, 1.0, 1.0)
    (whole,) = paired_bootstrap([values])
    monkeypatch.setattr("pml_hyperbolic.benchmark.reporting.paired_bootstrap._BLOCK", 170)
    (blocks,) = paired_bootstrap([values])
    np.testing.assert_allclose(blocks.deviations, whole.deviations, atol=1e-6)


def test_deterministic_and_by_seed():
    values = world(np.random.default_rng(0), 3, 50, 0.1, 1.0, 1.0)
    first, again, other = (paired_bootstrap([values], seed=s)[0].deviations for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_several_at_once_are_those_one_by_one():
    generator = np.random.default_rng(0)
    values = [world(generator, seeds, 40, 0.1, 1.0, 1.0) for seeds in (3, 5, 3)]
    together = paired_bootstrap(values)
    for one, result in zip(values, together, strict=True):
        np.testing.assert_allclose(
            result.deviations, paired_bootstrap([one])[0].deviations, atol=1e-6
        )


def test_differences_of_replicates_are_replicates_of_differences():
    generator = np.random.default_rng(0)
    first, second = (world(generator, 3, 40, 0.1, 1.0, 1.0) for _ in range(2))
    a, b, c = paired_bootstrap([first, second, first - 2.0 * second])
    combined = a - 2.0 * b
    assert combined.difference == pytest.approx(c.difference)
    np.testing.assert_allclose(combined.deviations, c.deviations, atol=1e-6)
    with pytest.raises(ValueError, match="not paired"):
        a - paired_bootstrap([first[:2]])[0]


def test_totals_of_seeds_alone_give_the_paired_t_test():
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.3, 1, 5), generator.normal(size=5)
    (result,) = paired_bootstrap([(a - b)[:, None]], replicates=100_000)
    test = result.test()
    reference = stats.ttest_rel(a, b)
    assert test.p_value == pytest.approx(reference.pvalue, rel=0.02)
    low, high = reference.confidence_interval(0.95)
    assert (test.difference - test.half_width, test.difference + test.half_width) == pytest.approx(
        (low, high), rel=0.02, abs=0.02
    )


def test_queries_alone_give_the_t_test_over_queries():
    """However few they are: the variance of Q draws from Q queries is made unbiased."""
    values = np.random.default_rng(0).normal(0.5, 1, 8)
    (result,) = paired_bootstrap([np.tile(values, (3, 1))], replicates=100_000)
    test = result.test()
    reference = stats.ttest_1samp(values, 0)
    low, high = reference.confidence_interval(0.95)
    assert test.half_width == pytest.approx((high - low) / 2, rel=0.02)
    assert test.p_value == pytest.approx(reference.pvalue, rel=0.03)


def test_one_repetition_is_not_tested():
    (result,) = paired_bootstrap([np.random.default_rng(0).normal(1, 1, (1, 100))])
    test = result.test()
    assert test.difference == pytest.approx(1, abs=0.4)
    assert all(math.isnan(value) for value in test[1:])


def test_without_any_variance():
    same, shifted = paired_bootstrap([np.zeros((3, 9)), np.full((3, 9), 0.25)])
    assert same.test() == (0, 0, 0, 1)
    # Without any spread there is nothing to test the difference with.
    assert shifted.test().difference == 0.25
    assert np.isnan(shifted.test()[1:]).all()


@pytest.mark.parametrize(("seeds", "queries"), [(2, 1), (3, 60)])
def test_a_mean_of_exactly_0(seeds, queries):
    values = np.zeros((seeds, queries))
    values[0], values[1] = 0.25, -0.25
    (result,) = paired_bootstrap([values])
    assert result.test().p_value == 1


# Small worlds in which one of the three parts of variance, or none, dominates.
WORLDS = [(1.0, 0.0, 0.0), (0.05, 0.0, 1.0), (0.02, 1.0, 0.2), (0.0, 1.0, 1.0), (0.7, 1.0, 0.3)]


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_false_positives_and_coverage(seeds):
    """At most one true null in twenty is rejected, whichever part of the variance dominates."""
    generator = np.random.default_rng(seeds)
    rejected = np.zeros((len(WORLDS), 300))
    percentiles = np.zeros_like(rejected)
    for i, parts in enumerate(WORLDS):
        values = [world(generator, seeds, 60, *parts, difference=0.3) for _ in range(300)]
        for j, result in enumerate(paired_bootstrap(values, replicates=600)):
            difference, half_width, _, _ = result.test()
            null = PairedBootstrap(difference - 0.3, seeds, 60, result.deviations)
            rejected[i, j] = null.test().p_value < 0.05
            # The interval leaves the truth out where the test rejects it.
            assert rejected[i, j] == (abs(difference - 0.3) > half_width)
            low, high = np.quantile(null.difference + null.deviations[2], [0.025, 0.975])
            percentiles[i, j] = not low < 0 < high
    # 300 draws of 0.05 lie below 0.09 but for one in a thousand.
    assert (rejected.mean(axis=1) < 0.09).all()
    # As many as that where one part is all there is; with two seeds a small part of theirs is much.
    assert rejected[0].mean() > 0.02
    assert seeds == 2 or rejected[2].mean() > 0.01
    # Why percentiles are not used: this is what they do where only seeds vary.
    assert percentiles[0].mean() > 0.11


def test_any_false_positive_among_methods_that_share_a_baseline():
    """Holm's correction keeps the chance of any false verdict, seven methods at once."""
    generator = np.random.default_rng(0)
    any_false = []
    for _ in range(200):
        common = {"by_seed": 0.05, "by_query": 0.5, "by_both": 0.3}
        baseline, *methods = (world(generator, 5, 60, **common) for _ in range(8))
        results = paired_bootstrap([method - baseline for method in methods], replicates=400)
        any_false.append(min(holm([result.test().p_value for result in results])) < 0.05)
    # 200 draws of 0.05 lie below 0.105 but for one in a thousand.
    assert np.mean(any_false) < 0.105


def test_power():
    generator = np.random.default_rng(0)
    values = [world(generator, 5, 500, 0.1, 1.0, 1.0, difference=0.5) for _ in range(20)]
    assert all(result.test().p_value < 0.02 for result in paired_bootstrap(values, replicates=500))


def test_share_interval_covers_the_truth():
    """If twins have 80% of the gain, about 95% of the intervals contain it."""
    generator = np.random.default_rng(0)
    wholes, parts = [], []
    for _ in range(200):
        common = world(generator, 5, 60, 0.1, 0.5, 0.2, difference=1.0)
        wholes.append(common)
        parts.append(0.8 * common + world(generator, 5, 60, 0.03, 0.2, 0.2))
    results = paired_bootstrap([*wholes, *parts], replicates=500)
    intervals = [share_interval(results[200 + i], results[i]) for i in range(200)]
    assert all(interval is not None for interval in intervals)
    inside = [low < 0.8 < high for low, high in intervals]
    assert 0.9 < np.mean(inside) <= 0.99
    middle = results[200].difference / results[0].difference
    assert intervals[0][0] < middle < intervals[0][1]


def test_no_share_of_a_gain_that_is_not_shown():
    generator = np.random.default_rng(0)
    part, whole = paired_bootstrap(
        [world(generator, 5, 60, 0.1, 1.0, 1.0, difference=d) for d in (0.5, 0.0)]
    )
    assert whole.test().p_value > 0.05
    assert share_interval(part, whole) is None


@pytest.mark.parametrize("shapes", [[(3, 4), (3, 5)], [(0, 4)], [(3, 0)]])
def test_what_is_refused(shapes):
    with pytest.raises(ValueError, match="expected"):
        paired_bootstrap([np.zeros(shape) for shape in shapes])


def test_nothing_to_do():
    assert paired_bootstrap([]) == []


class CountingGenerator:
    """Draws as NumPy's generator does, and remembers the shapes of its draws."""

    def __init__(self, generator):
        self.generator = generator
        self.shapes = []

    def integers(self, high, *, size, dtype):
        self.shapes.append(size)
        return self.generator.integers(high, size=size, dtype=dtype)


def test_work_and_memory_with_sixty_thousand_queries(monkeypatch):
    """However many comparisons there are, queries are drawn once, in blocks of bounded size."""
    generators = []

    def default_rng(seed):
        generator = np.random.Generator(np.random.PCG64(seed))
        # The other generators draw the seeds, of which there are few.
        if seed != 0:
            return generator
        generators.append(CountingGenerator(generator))
        return generators[-1]

    monkeypatch.setattr(paired_bootstrap_module.np.random, "default_rng", default_rng)
    values = [np.ones((5, 60_000), np.float32)] * 10
    results = paired_bootstrap(values, replicates=200)
    assert [result.difference for result in results] == [1.0] * 10
    (counting,) = generators
    assert sum(rows * queries for rows, queries in counting.shapes) == 200 * 60_000
    assert max(rows * queries for rows, queries in counting.shapes) <= 4_000_000
