"""The small convolutional network."""

import pytest
import torch

from pml_hyperbolic.backbones import BACKBONES, SmallConv


@pytest.mark.parametrize(
    ("kwargs", "features"),
    [({}, 64), ({"width": 3, "blocks": 1}, 3), ({"width": 4, "blocks": 3}, 16)],
)
def test_shapes(kwargs, features):
    model = SmallConv(2, **kwargs)
    assert model.out_features == features
    assert model(torch.randn(3, 2, 8, 8)).shape == (3, features)
    assert BACKBONES["small_conv"] is SmallConv


def test_pooling_keeps_positions():
    model = SmallConv(1, width=4, blocks=2, pool=2)
    assert model.out_features == 32
    assert model(torch.randn(3, 1, 8, 8)).shape == (3, 32)


@pytest.mark.parametrize("kwargs", [{"width": 0}, {"blocks": 0}])
def test_what_is_refused(kwargs):
    with pytest.raises(ValueError, match="at least 1"):
        SmallConv(1, **kwargs)
