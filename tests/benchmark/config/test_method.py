"""A method: what belongs to it, and what its hash depends on."""

import pytest

from pml_hyperbolic.benchmark.config import MethodConfig

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


def test_a_head_without_layer_norm_is_another_method():
    plain = MethodConfig(loss="ProxyAnchorLoss", loss_lr=0.1)
    assert MethodConfig(loss="ProxyAnchorLoss", loss_lr=0.1, head={"layer_norm": True}).hash == (
        plain.hash
    )
    assert MethodConfig(loss="ProxyAnchorLoss", loss_lr=0.1, head={"layer_norm": False}).hash != (
        plain.hash
    )


def test_a_radius_needs_the_layer_norm():
    head = {"spaces": ["hyperbolic"], "initial_radius": 1.0, "layer_norm": False}
    with pytest.raises(ValueError, match="initial_radius needs layer_norm: true"):
        MethodConfig(loss="ProxyAnchorLoss", head=head)
