"""A method: what belongs to it, and what its hash depends on."""

import pytest

from pml_hyperbolic.benchmark.config import MethodConfig, OptimizerConfig

from ..conftest import METHODS


def test_radius_without_a_hyperbolic_space():
    with pytest.raises(ValueError, match="add hyperbolic to spaces"):
        MethodConfig(loss="ProxyAnchorLoss", head={"initial_radius": 1.0})


def test_method_hash_ignores_the_words_about_it():
    first, second = (MethodConfig(loss="ProxyAnchorLoss", about=about) for about in "ab")
    assert first.hash == second.hash
    assert first.hash != MethodConfig(loss="ProxyAnchorLoss", loss_lr=0.1).hash


def test_different_parameters_are_a_declaration_not_a_setting():
    plain = MethodConfig.model_validate(METHODS["hyp"])
    declared = MethodConfig.model_validate({**METHODS["hyp"], "different_parameters": True})
    assert declared.different_parameters
    assert declared.hash == plain.hash


def test_rates_are_its_own_where_they_are_tuned():
    plain = MethodConfig.model_validate(METHODS["hyp"])
    own = MethodConfig.model_validate({**METHODS["hyp"], "head_lr": 2e-5})
    fixed = OptimizerConfig(trunk_lr=1e-3, head_lr=1e-2)
    assert plain.rates(fixed) == (1e-2, 1e-3)
    assert own.rates(OptimizerConfig(trunk_lr=1e-3, head_lr="tuned")) == (2e-5, 1e-3)
    assert own.rates(OptimizerConfig(head_lr="tuned")) == (2e-5, None)
    assert own.hash != plain.hash
    assert own.with_values({"head_lr": 3e-5}).head_lr == 3e-5
