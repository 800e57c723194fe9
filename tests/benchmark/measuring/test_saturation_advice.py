"""Advice against saturation depends on what is set already."""

import pytest

from pml_hyperbolic.benchmark.config import MethodConfig, ProtocolConfig
from pml_hyperbolic.benchmark.measuring.saturation_advice import saturation_advice, starts_inside
from pml_hyperbolic.distances import PoincareDistance

CLIPPED = PoincareDistance(c=0.1, clip_radius=2.3)


@pytest.fixture
def protocol(load) -> ProtocolConfig:
    return load("protocol.optimizer.head_lr=0.02").protocol


def method(**changes):
    return MethodConfig.model_validate(
        {"loss": "ProxyAnchorLoss", "head": {"spaces": ["hyperbolic"]}, **changes}
    )


def test_where_heads_start():
    assert starts_inside(1.15, 64, CLIPPED) is True
    assert starts_inside(3.0, 64, CLIPPED) is False
    # The published head starts at the square root of the size.
    assert starts_inside(None, 64, CLIPPED) is False
    assert starts_inside(None, 4, CLIPPED) is True
    assert starts_inside(None, 64, PoincareDistance(clip_radius=None)) is None
    assert starts_inside(None, 64, None) is None


@pytest.mark.parametrize(
    ("radius", "inside", "advice"),
    [
        (None, False, "set the method's head.initial_radius"),
        (3.0, False, "lower the method's head.initial_radius (3)"),
        (1.15, True, "lower protocol.optimizer.head_lr (0.02)"),
        (None, True, "lower protocol.optimizer.head_lr (0.02)"),
    ],
)
def test_advice_for_embeddings(protocol, radius, inside, advice):
    head = {"spaces": ["hyperbolic"], "initial_radius": radius}
    found = saturation_advice(method(head=head), protocol, inside=inside)["embeddings"]
    assert advice in found
    # Nobody is told to set what is set already.
    assert radius is None or "set the method's head.initial_radius" not in found


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"loss_lr": 0.5}, "lower the method's loss_lr (0.5)"),
        (
            {"loss_lr": 0.5, "regularizer": {"use": "HIERLoss", "lr": 0.25}},
            "lower the method's regularizer.lr (0.25)",
        ),
    ],
)
def test_advice_for_proxies(protocol, changes, advice):
    found = saturation_advice(method(**changes), protocol, inside=True)
    assert found["proxies"] == advice


def test_advice_names_a_rate_of_the_methods_own(load, protocol):
    optimizer = protocol.optimizer.model_copy(update={"head_lr": "tuned"})
    tuned = protocol.model_copy(update={"optimizer": optimizer})
    found = saturation_advice(method(head_lr=2e-5), tuned, inside=True)["embeddings"]
    assert found.endswith("lower the method's head_lr (2e-05)")
