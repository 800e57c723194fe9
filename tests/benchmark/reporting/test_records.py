"""Records hold the numbers of the tables, unrounded."""

import math

import pytest

from pml_hyperbolic.benchmark.reporting.report import make_report
from pml_hyperbolic.benchmark.results.metric_names import MAP_AT_R


def test_records(bench):
    base, hyp, _ = make_report([bench]).records
    assert math.isnan(base[f"{MAP_AT_R}_difference"])
    assert hyp["baseline"] == "base"
    assert hyp[f"{MAP_AT_R}_verdict"] == "better"
    assert hyp[f"{MAP_AT_R}_difference"] == pytest.approx(hyp[MAP_AT_R] - base[MAP_AT_R], abs=1e-6)
    assert 0 <= hyp[f"{MAP_AT_R}_p"] <= hyp[f"{MAP_AT_R}_p_holm"] < 0.05
    assert hyp["train_test_gap"] == pytest.approx(0.25)
    assert (hyp["runs"], hyp["repetitions"]) == (3, 3)
