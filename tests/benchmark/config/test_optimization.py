"""Learning rates: the same for all methods, or each method's own."""

import pytest
from pydantic import ValidationError

from pml_hyperbolic.benchmark.config import OptimizerConfig, ProtocolConfig

from ..conftest import METHODS, PROTOCOL, TINY

TUNED = {"optimizer": {"trunk_lr": 1e-3, "head_lr": "tuned"}}
RATED = {name: {**method, "head_lr": 1e-4} for name, method in METHODS.items()}


def optimizer(**changes):
    return OptimizerConfig.model_validate({"trunk_lr": 1e-3, "head_lr": 1e-3, **changes})


def test_tuned_rates_have_a_range():
    assert optimizer().tuned_ranges == {}
    both = optimizer(head_lr="tuned", trunk_lr="tuned").tuned_ranges
    assert {key: allowed.ends for key, allowed in both.items()} == {
        "head_lr": (5e-6, 3e-2),
        "trunk_lr": (1e-6, 3e-3),
    }
    assert all(allowed.log for allowed in both.values())
    grid = {"grid": [1e-5, 1e-4]}
    chosen = optimizer(head_lr="tuned", rate_ranges={"head_lr": grid}).tuned_ranges
    assert list(chosen) == ["head_lr"]
    assert chosen["head_lr"].grid == [1e-5, 1e-4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate_ranges": {"head_lr": {"low": 1e-5, "high": 1e-3}}}, "head_lr: tuned, got .* 0.001"),
        (
            {"head_lr": "tuned", "rate_ranges": {"head_lr": {"low": 0, "high": 1}}},
            "greater than 0",
        ),
        (
            {"head_lr": "tuned", "rate_ranges": {"head_lr": {"choices": [1e-4, 1e-3]}}},
            "a range or a grid",
        ),
        ({"head_lr": "tunned"}, "Input should be 'tuned'"),
        ({"head_lr": 0}, "greater than 0"),
        ({"head_lr": True}, "valid number"),
    ],
)
def test_wrong_rates(changes, message):
    with pytest.raises(ValidationError, match=message):
        optimizer(**changes)


def test_the_range_is_part_of_no_hash():
    def hashed(**changes):
        return ProtocolConfig.model_validate(
            {**PROTOCOL, "optimizer": {"trunk_lr": 1e-3, "head_lr": "tuned", **changes}}
        ).hash

    assert hashed() == hashed(rate_ranges={"head_lr": {"low": 1e-5, "high": 1e-3, "log": True}})
    assert hashed() != ProtocolConfig.model_validate(PROTOCOL).hash


def written(write_config, folder, protocol, methods):
    return write_config(folder, {**TINY, "protocol": {**PROTOCOL, **protocol}}, methods)


def test_a_location_of_an_error_is_a_key(tmp_path, write_config, refused):
    config = written(write_config, tmp_path, {"optimizer": {"head_lr": 0}}, METHODS)
    assert "tiny.yaml: protocol.optimizer.head_lr: must be greater" in refused("validate", config)


def test_every_method_states_a_tuned_rate(tmp_path, write_config, refused):
    methods = {**RATED, "hier": METHODS["hier"]}
    line = refused("validate", written(write_config, tmp_path, TUNED, methods))
    assert "methods: hier needs a head_lr of its own, because protocol.optimizer.head_lr is" in line


@pytest.mark.parametrize("key", ["head_lr", "trunk_lr"])
def test_a_fixed_rate_is_no_methods_own(tmp_path, write_config, refused, key):
    methods = {**METHODS, "hier": {**METHODS["hier"], key: 0.5}}
    line = refused("validate", written(write_config, tmp_path, {}, methods))
    assert f"methods: hier: {key!r} is a protocol key, the same for all methods at " in line
    assert f"protocol.optimizer.{key} (0.001): leave it out, or set" in line


def test_the_range_of_a_rate_is_the_protocols(tmp_path, write_config, refused):
    methods = {**RATED, "hier": {**RATED["hier"], "search": {"head_lr": {"low": 1, "high": 2}}}}
    line = refused("validate", written(write_config, tmp_path, TUNED, methods))
    assert "search: head_lr is searched in the same range for all methods" in line
    assert "protocol.optimizer.rate_ranges.head_lr" in line
