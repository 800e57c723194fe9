"""What reports say of benchmarks whose truth is known: intervals cover it, tests keep their level.

docs/statistics.md has the table of a larger simulation, by the same functions.
"""

import itertools

import numpy as np
import pytest

from pml_hyperbolic.benchmark.reporting.benchmark_results import BenchmarkResults
from pml_hyperbolic.benchmark.reporting.comparison import compare
from pml_hyperbolic.benchmark.reporting.score_group import score_groups
from pml_hyperbolic.benchmark.results.metric_names import PRIMARY

from .simulated_reports import EFFECTS, LEVEL, METHODS, SPACES, Setting, allowed, measure, simulate

WORLDS = 20
SEEDS, FOLDS = (2, 3, 5), (1, 4)


@pytest.fixture(scope="module")
def measured():
    """(gain, effects, seeds, folds) -> name -> share."""
    return {
        (gain, *cell): measure(Setting(cell[1], cell[2], cell[0], gain=gain), WORLDS)
        for gain in (0.0, 0.08)
        for cell in itertools.product(EFFECTS, SEEDS, FOLDS)
    }


COVERED = ["MAP@R covered", "R@1 covered", "validation covered", "control covered", "mean covered"]
FALSE = ["MAP@R false", "R@1 false", "control false"]


def shares(measured, name, position, value):
    """The shares of all cells that have a value at a position of their keys."""
    return [
        found[name] for key, found in measured.items() if key[position] == value and name in found
    ]


@pytest.mark.parametrize("name", COVERED)
def test_intervals_cover_the_truth(measured, name):
    missed = [1 - found[name] for found in measured.values()]
    assert np.mean(missed) <= allowed(LEVEL, WORLDS * len(missed))
    for position, values in ((1, EFFECTS), (2, SEEDS), (3, FOLDS)):
        for value in values:
            some = [1 - share for share in shares(measured, name, position, value)]
            assert np.mean(some) <= allowed(LEVEL, WORLDS * len(some)), value


@pytest.mark.parametrize("name", FALSE)
def test_methods_that_do_not_differ_are_seldom_said_to(measured, name):
    """In a family of methods, any of them."""
    for position, values in ((0, (0.0, 0.08)), (1, EFFECTS), (2, SEEDS), (3, FOLDS)):
        for value in values:
            some = shares(measured, name, position, value)
            if some:
                assert np.mean(some) <= allowed(LEVEL, WORLDS * len(some)), value


def test_intervals_are_not_as_wide_as_can_be(measured):
    """An interval that always covers would pass the other tests."""
    missed = [1 - share for share in shares(measured, "mean covered", 0, 0.0)]
    assert np.mean(missed) > 0.02
    missed = [1 - share for share in shares(measured, "MAP@R covered", 1, "seeds")]
    assert np.mean(missed) > 0.01


def test_power_grows_with_seeds(measured):
    for name in ("MAP@R power", "R@1 power", "control power"):
        few, more, most = (np.mean(shares(measured, name, 2, seeds)) for seeds in SEEDS)
        assert few < more < most
    # A gain of 8 points that five seeds cannot miss where only noise varies.
    assert min(measured[0.08, "noise", 5, 4]["MAP@R power"], 1) == 1


def test_a_narrower_interval_is_noticed(monkeypatch):
    """Percentiles of the bootstrap, for example, are narrower by the missing degrees of freedom."""
    from pml_hyperbolic.benchmark.reporting.paired_bootstrap import PairedBootstrap

    half_width = PairedBootstrap._half_width

    def narrower(self, *arguments):
        return half_width(self, *arguments) / 3

    monkeypatch.setattr(PairedBootstrap, "_half_width", narrower)
    found = measure(Setting(3, 1, "seeds"), 60)
    assert 1 - found["MAP@R covered"] > allowed(LEVEL, 60)
    assert found["MAP@R false"] > allowed(LEVEL, 60)


def test_the_simulated_chain_is_that_of_the_files(tmp_path, write_run):
    """Runs that are written, read and grouped give the same differences and intervals."""
    world = simulate(Setting(3, 2, "both"), np.random.default_rng(0))
    for m, (method, space) in enumerate(zip(METHODS, SPACES, strict=True)):
        for s, f in np.ndindex(3, 2):
            scores = np.clip(world.scores[m, s, f], 0, 1)
            world.scores[m, s, f] = scores
            write_run(method, scores, space=space, fold=f, seed=s)
    groups = score_groups(BenchmarkResults.read([tmp_path / "bench"]))
    assert [group.method for group in groups] == sorted(METHODS)
    baseline = next(group for group in groups if group.method == "base")
    read = {groups[i].method: one for i, one in compare(groups, baseline)[PRIMARY].items()}
    simulated = world.groups()
    expected = {METHODS[i]: one for i, one in compare(simulated, simulated[0])[PRIMARY].items()}
    assert read.keys() == expected.keys()
    for method, one in read.items():
        assert one.over_queries
        assert tuple(one.test) == pytest.approx(tuple(expected[method].test), rel=1e-4)
        assert one.p_corrected == pytest.approx(expected[method].p_corrected, rel=1e-3)
