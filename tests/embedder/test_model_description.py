"""A description survives JSON and builds the network it describes."""

import json
from dataclasses import replace

import pytest
import torch

from pml_hyperbolic.backbones import SmallConv
from pml_hyperbolic.embedder.model_description import ModelDescription, build_backbone
from pml_hyperbolic.embedder.preprocessing import Preprocessing
from pml_hyperbolic.embedder.space_layout import SpaceLayout
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.heads import HyperbolicEmbedder, TwoSpaceEmbedder


def describe(sizes, geometry, backbone=None):
    return ModelDescription(
        backbone or {"small_conv": {"width": 2}},
        "made up",
        SpaceLayout(sizes, geometry),
        Preprocessing(3, 0.5, 0.5, short_side=9, size=8),
        7,
        {"seed": 0},
        {},
    )


@pytest.mark.parametrize(
    ("sizes", "geometry", "head"),
    [
        ({"euclidean": 4}, None, HyperbolicEmbedder),
        ({"hyperbolic": 4}, {"PoincareDistance": {}}, HyperbolicEmbedder),
        ({"euclidean": 4, "hyperbolic": 2}, {"PoincareSimilarity": {}}, TwoSpaceEmbedder),
    ],
)
def test_json_and_back(sizes, geometry, head):
    description = describe(sizes, geometry)
    again = ModelDescription.from_json(json.loads(json.dumps(description.to_json())))
    assert again == description
    trunk, built = again.build()
    assert isinstance(trunk, SmallConv)
    assert type(built) is head
    assert built(trunk(torch.rand(2, 3, 8, 8))).shape == (2, sum(sizes.values()))


def test_a_head_without_layer_norm_survives_json():
    description = replace(describe({"euclidean": 4}, None), layer_norm=False)
    again = ModelDescription.from_json(json.loads(json.dumps(description.to_json())))
    assert again == description
    _, head = again.build()
    features = torch.randn(2, head[1].in_features)
    assert torch.allclose(head(2 * features), 2 * head(features), atol=1e-6)


def test_building_leaves_random_numbers_alone():
    expected = torch.rand(1, generator=torch.Generator().manual_seed(5))
    torch.manual_seed(5)
    describe({"euclidean": 4}, None).build()
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ({}, "no backbone None"),
        ({"small_conv": {}, "identity": {}}, "no backbone 'small_conv'"),
        ({"small_conv": {"depth": 3}}, "unexpected keyword argument 'depth'"),
        ({"timm": {"model": "resnet19"}}, "timm has no model 'resnet19'"),
    ],
)
def test_refused_backbones(backbone, message):
    with pytest.raises(InputError, match=message):
        build_backbone(backbone, 3)


def test_published_weights_are_not_loaded():
    backbone = {"timm": {"model": "test_vit.r160_in1k", "pretrained": True, "weights": "none.pth"}}
    assert build_backbone(backbone, 3).out_features == 64
