"""Trunk and head: devices, memory formats and sizes."""

import pytest
import torch

from pml_hyperbolic.benchmark.assembly.models import (
    build_embedder,
    build_trunk,
    check_trunk,
    choose_device,
    space_sizes,
)
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.heads import HyperbolicEmbedder, TwoSpaceEmbedder

CPU = torch.device("cpu")


def test_cuda_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(InputError, match="use auto or cpu"):
        choose_device("cuda")


def test_space_sizes_keep_their_order():
    assert list(space_sizes(6, ["hyperbolic", "euclidean"], "x").items()) == [
        ("hyperbolic", 3),
        ("euclidean", 3),
    ]


def test_sizes_are_shared_equally_or_not_at_all():
    both = ["euclidean", "hyperbolic"]
    assert space_sizes(6, both, "x", equal_total=False) == {"euclidean": 6, "hyperbolic": 6}
    with pytest.raises(InputError, match=r"^x: protocol.embedding_size 7 cannot be shared equally"):
        space_sizes(7, both, "x")


def test_a_trunk_is_built_and_checked():
    spec = {"small_conv": {"width": 4, "blocks": 1}}
    trunk = build_trunk(spec, 2, CPU)
    assert trunk.out_features == 4
    check_trunk(trunk, spec, torch.zeros(1, 2, 8, 8))
    assert not trunk.training
    with pytest.raises(InputError, match=r"small_conv does not take input of size 3 x 8 x 8 \("):
        check_trunk(trunk, spec, torch.zeros(1, 3, 8, 8))
    trunk.out_features = 5
    with pytest.raises(InputError, match=r"returns \(4,\) for .* expected 5 features"):
        check_trunk(trunk, spec, torch.zeros(1, 2, 8, 8))


def test_one_space_has_one_head_and_two_have_two():
    one = build_embedder(6, {"hyperbolic": 4}, 1.5)
    assert isinstance(one, HyperbolicEmbedder)
    two = build_embedder(6, {"euclidean": 2, "hyperbolic": 3}, None)
    assert isinstance(two, TwoSpaceEmbedder)
    features = torch.randn(5, 6)
    assert one(features).shape == (5, 4)
    assert two(features).shape == (5, 5)
