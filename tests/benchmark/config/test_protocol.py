"""The protocol: its folds, and what its hash depends on."""

import pytest
from pydantic import ValidationError

from pml_hyperbolic.benchmark.config import EvaluationConfig, ProtocolConfig

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


def test_a_trunk_without_weights_needs_no_rate():
    changes = {"optimizer": {"head_lr": 1e-3}, "backbone": "identity"}
    assert ProtocolConfig(**{**PROTOCOL, **changes}).optimizer.trunk_lr is None


@pytest.mark.parametrize(
    "changes",
    [
        {"network_gradient_scale": 0.5},
        {"sampler": {**PROTOCOL["sampler"], "replacement": True}},
        {"sampler": {**PROTOCOL["sampler"], "unique_classes": True}, "steps_per_epoch": 1},
        {"evaluation": {**PROTOCOL["evaluation"], "score_from": 2}},
    ],
)
def test_a_later_key_is_hashed_where_it_is_set(changes):
    plain = {**PROTOCOL, "steps_per_epoch": changes.get("steps_per_epoch", 4)}
    assert ProtocolConfig(**{**plain, **changes}).hash != ProtocolConfig(**plain).hash


def test_a_later_key_at_its_default_is_not_hashed():
    # The hash that runs of this protocol were stored with before there were these keys.
    assert ProtocolConfig(**PROTOCOL).hash == "6788ca754b1e"
    explicit = {
        "network_gradient_scale": 1.0,
        "sampler": {**PROTOCOL["sampler"], "replacement": False, "unique_classes": False},
        "evaluation": {**PROTOCOL["evaluation"], "score_from": None},
    }
    assert ProtocolConfig(**{**PROTOCOL, **explicit}).hash == "6788ca754b1e"


@pytest.mark.parametrize(
    ("evaluation", "epochs", "expected"),
    [
        ({}, 3, [1, 2, 3]),
        ({"every": 2}, 5, [2, 4]),
        ({"every": 5}, 5, [5]),
        # HIER's code on CUB, after a warm-up of one epoch, and on Stanford Online Products.
        ({"score_from": 2}, 5, [2, 3, 4, 5]),
        ({"every": 5, "score_from": 41}, 60, [41, 46, 51, 56]),
    ],
)
def test_scored_epochs(evaluation, epochs, expected):
    assert list(EvaluationConfig(**evaluation).scored_epochs(epochs)) == expected
