"""The protocol: its folds, and what its hash depends on."""

import pytest
from pydantic import ValidationError

from pml_hyperbolic.benchmark.config import ProtocolConfig

from ..conftest import PROTOCOL


def test_folds():
    folded = {**PROTOCOL, "splits": {"test": "second_half", "folds": 3}}
    assert ProtocolConfig(**PROTOCOL).folds == [0]
    assert ProtocolConfig(**folded).folds == [0, 1, 2]
    some = ProtocolConfig(**folded, run_folds=[2, 0])
    assert some.folds == [2, 0]
    assert some.hash == ProtocolConfig(**folded).hash
    assert some.hash != ProtocolConfig(**PROTOCOL).hash
    # Four folds of four by default.
    assert ProtocolConfig(**{**PROTOCOL, "splits": {"test": "official"}}).folds == [0, 1, 2, 3]


def test_protocol_hash():
    def hashed(**changes):
        return ProtocolConfig(**{**PROTOCOL, **changes}).hash

    assert hashed() == hashed(seeds=[5, 6, 7])
    assert hashed() == hashed(data={"digits": None})
    assert hashed() == ProtocolConfig(**dict(reversed(PROTOCOL.items()))).hash
    changed = [
        hashed(epochs=4),
        hashed(threads=2),
        hashed(precision="bfloat16"),
        hashed(splits={**PROTOCOL["splits"], "test": [5, 6, 8]}),
        hashed(evaluation={"recall_at": [1]}),
    ]
    assert len({hashed(), *changed}) == 6


def test_the_protocol_hash_does_not_depend_on_where_files_lie():
    def protocol(data, backbone):
        changed = {"data": {"sop": data}, "backbone": {"timm": {"model": "test_vit", **backbone}}}
        return ProtocolConfig.model_validate({**PROTOCOL, **changed}).hash

    here = protocol({"root": "a/sop"}, {"weights": "a/vit.pt"})
    assert protocol({"root": "b/sop", "unpacked": "c"}, {"weights": "b/vit.pt"}) == here
    assert protocol({"root": "a/sop", "verify": False}, {"weights": "a/vit.pt"}) != here
    assert protocol({"root": "a/sop"}, {"weights": "a/other.pt"}) != here


FROZEN = {
    **{key: value for key, value in PROTOCOL.items() if key != "augmentation"},
    "trunk": "frozen",
    "optimizer": {"head_lr": 1e-3},
}


def test_a_frozen_trunk_is_another_protocol():
    plain = {**PROTOCOL, "augmentation": {}}
    assert ProtocolConfig(**plain, trunk="trained").hash == ProtocolConfig(**plain).hash
    assert ProtocolConfig(**FROZEN).hash != ProtocolConfig(**plain).hash


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"optimizer": PROTOCOL["optimizer"]}, "optimizer.trunk_lr would do nothing"),
        ({"augmentation": {"horizontal_flip": True}}, "augmentation would"),
        ({"schedule": {"trunk_frozen_epochs": 1}}, "schedule.trunk_frozen_epochs would"),
        (
            {"backbone": {"timm": {"model": "a", "batch_norm": {"affine": "frozen"}}}},
            "backbone.timm.batch_norm would",
        ),
        (
            {"augmentation": {"random_shift": 1}, "optimizer": PROTOCOL["optimizer"]},
            "optimizer.trunk_lr and augmentation would do nothing: leave them out",
        ),
    ],
)
def test_what_a_frozen_trunk_makes_useless_is_refused(changes, named):
    with pytest.raises(ValidationError, match=named):
        ProtocolConfig(**{**FROZEN, **changes})


def test_a_trained_trunk_needs_a_rate():
    with pytest.raises(ValidationError, match=r"optimizer.trunk_lr is required.*trunk: frozen"):
        ProtocolConfig(**{**PROTOCOL, "optimizer": {"head_lr": 1e-3}})
