"""A frozen trunk: its features are its own, computed once, and train as precomputed ones do."""

import json

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.assembly.frozen_trunk import FrozenTrunk
from pml_hyperbolic.benchmark.assembly.pipeline import Pipeline
from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.datasets import Digits
from pml_hyperbolic.benchmark.measuring.untrained import untrained_scores
from pml_hyperbolic.errors import InputError

FROZEN = (
    "protocol.trunk=frozen",
    "protocol.augmentation={}",
    "protocol.optimizer={head_lr: 1e-3}",
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def data(load):
    """A function that makes the data of the tiny benchmark with a frozen trunk."""
    return lambda *overrides: ProtocolData(load(*FROZEN, *overrides).protocol)


@pytest.fixture
def computed(monkeypatch):
    """How often features were computed."""
    calls = []
    compute = FrozenTrunk._computed
    monkeypatch.setattr(FrozenTrunk, "_computed", lambda self: calls.append(self) or compute(self))
    return calls


def test_features_are_those_of_the_trunk(data):
    made = data("protocol.image={size: 6, resize: 7}")
    trunk = made.frozen_trunk.trunk
    plain = ProtocolData(made.protocol.model_copy(update={"trunk": "trained"}))
    subset = plain.fold(0).subsets(trunk.mean, trunk.std, "cpu")["test"]
    images, labels = subset.__getitems__([0, 5, 100])
    with torch.no_grad():
        expected = trunk(images)
    features, same = made.fold(0).subsets(0.0, 1.0, "cpu")["test"].__getitems__([0, 5, 100])
    assert torch.equal(labels, same)
    assert torch.allclose(features, expected, atol=1e-6)
    assert not trunk.training
    assert not any(parameter.requires_grad for parameter in trunk.parameters())


def test_runs_share_the_features_and_train_nothing_but_the_head(data, load, computed):
    made, methods = data(), load().methods
    pipelines = [
        Pipeline(made, methods[name], name, seed)
        for name in ("proxy_anchor", "hier")
        for seed in (0, 1)
    ]
    assert computed == []
    features = [one.subsets["train"].__getitems__([3])[0] for one in pipelines]
    assert len(computed) == 1
    assert all(torch.equal(one, features[0]) for one in features)
    first, second = pipelines[:2]
    assert "trunk_optimizer" not in first.optimizers
    assert first.parameter_counts["trunk"] == sum(
        p.numel() for p in made.frozen_trunk.trunk.parameters()
    )
    heads = [dict(one.models["embedder"].named_parameters()) for one in (first, second)]
    assert not torch.equal(*(head["1.weight"] for head in heads))
    # Another process finds them in the cache.
    again = data().frozen_trunk
    assert np.array_equal(again.features, made.frozen_trunk.features)
    assert len(computed) == 1


@pytest.mark.parametrize(
    "change",
    [
        "protocol.image={size: 6}",
        "protocol.backbone.small_conv.width=5",
        "protocol.backbone.small_conv.pool=2",
    ],
)
def test_other_images_or_another_trunk_have_features_of_their_own(data, computed, change):
    first = data().frozen_trunk.features
    other = data(change).frozen_trunk.features
    assert len(computed) == 2
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_other_pixels_of_the_same_size_have_features_of_their_own(data, computed, monkeypatch):
    first = data()
    features = first.frozen_trunk.features
    image = Digits.image
    monkeypatch.setattr(Digits, "image", lambda self, index: 255 - image(self, index))
    second = data()
    assert second.fingerprint == first.fingerprint
    assert not np.array_equal(second.frozen_trunk.features, features)
    assert len(computed) == 2


def test_other_weights_have_features_of_their_own(data, computed, monkeypatch):
    first = data().frozen_trunk
    assert first.features.shape == (1797, 4)
    monkeypatch.setattr("pml_hyperbolic.benchmark.assembly.frozen_trunk._SEED", 1)
    second = data().frozen_trunk
    assert first.hash != second.hash
    assert not np.array_equal(first.features, second.features)


def test_numbers_are_those_of_the_same_features_without_a_trunk(config_file, tmp_path, data, load):
    run = ["run", str(config_file), "--jobs", "1", "protocol.seeds=[3]", "methods=[hier, chest]"]
    made = data()
    file = tmp_path / "features.npz"
    np.savez(file, features=made.frozen_trunk.features, labels=made.dataset.labels)
    assert main([*run, "--output", str(tmp_path / "frozen"), *FROZEN]) == 0
    precomputed = [
        f"protocol.data={{features: {{root: {file}}}}}",
        "protocol.backbone=identity",
        "protocol.augmentation={}",
    ]
    assert main([*run, "--output", str(tmp_path / "features"), *precomputed]) == 0
    frozen, features = (
        json.loads((tmp_path / name / "tiny" / "results.json").read_text())
        for name in ("frozen", "features")
    )
    assert len(frozen) == 3
    for one, other in zip(frozen, features, strict=True):
        for key in ("method", "space", "epoch", "test", "validation", "train", "dimension"):
            assert one[key] == other[key]
        assert one["parameters"]["trunk"] > other["parameters"]["trunk"] == 0
    same = "hier/fold0_seed3/test_embeddings.npy"
    assert np.array_equal(
        *(np.load(tmp_path / name / "tiny" / same) for name in ("frozen", "features"))
    )


def test_the_untrained_trunk_is_the_frozen_one(data):
    made = data()
    trunk, *heads = untrained_scores(made)
    assert trunk.dimension == 4
    assert [head.dimension for head in heads] == [8, 8]
    assert untrained_scores(data("protocol.seeds=[9]"))[0].test == trunk.test


def test_runs_on_features_of_other_weights_are_not_mixed(
    config_file, tmp_path, monkeypatch, refused, capsys
):
    run = [
        "run",
        config_file,
        "--output",
        tmp_path / "runs",
        "--jobs",
        "1",
        "methods=[proxy_anchor]",
        *FROZEN,
    ]
    assert main([*map(str, run), "protocol.seeds=[0]"]) == 0
    capsys.readouterr()
    monkeypatch.setattr("pml_hyperbolic.benchmark.assembly.frozen_trunk._SEED", 1)
    assert "holds runs on features of other weights of the frozen trunk" in refused(*run)
    file = tmp_path / "runs" / "tiny" / "frozen_trunk.pt"
    file.write_bytes(file.read_bytes()[:50])
    assert f"{file} is damaged (" in refused(*run)


def test_precomputed_features_have_no_trunk_to_freeze(data, tmp_path):
    file = tmp_path / "features.npz"
    np.savez(file, features=np.zeros((40, 3), np.float32), labels=np.arange(40) % 8)
    made = data(f"protocol.data={{features: {{root: {file}}}}}", "protocol.backbone=identity")
    with pytest.raises(InputError, match=r"trunk: frozen would do nothing to precomputed feat"):
        made.fold(0)


def test_a_trunk_that_does_not_take_the_images_is_refused_before_anything_runs(data):
    with pytest.raises(InputError, match=r"protocol.backbone: identity returns"):
        data("protocol.backbone=identity").fold(0)
