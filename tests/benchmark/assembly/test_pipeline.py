"""The parts of one run: with one seed they are the same for all methods, except the loss."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from pml_hyperbolic.benchmark.assembly.pipeline import Pipeline
from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.datasets import DATASETS, Digits, FeatureData
from pml_hyperbolic.errors import InputError

from ..conftest import METHODS
from ..steps import one_step, weights

SHORT = ["protocol.epochs=1", "protocol.steps_per_epoch=1", "protocol.evaluation.every=1"]


def pipeline(load, name, seed=0, *overrides):
    config = load(f"methods=[{name}]", *overrides)
    return Pipeline(ProtocolData(config.protocol), config.methods[name], name, seed)


def batches_seen(parts):
    """Return the batches that two epochs of training feed to the trunk."""
    seen = []
    parts.models["trunk"].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    parts.trainer().train(num_epochs=2)
    return seen


def test_batches_and_start_are_the_same_for_all_methods(load):
    names = ["proxy_anchor", "hier", "hyp", "chest"]
    parts = {name: pipeline(load, name) for name in names}
    trunks = [weights(parts[name].models["trunk"]) for name in names]
    single = [weights(parts[name].models["embedder"]) for name in names[:-1]]
    for others in (trunks, single):
        assert all(
            torch.equal(a, b) for other in others for a, b in zip(others[0], other, strict=True)
        )
    # HIER and CHEST draw random numbers at every step, ProxyAnchor draws none.
    seen = [batches_seen(parts[name]) for name in names]
    assert [len(batches) for batches in seen] == [8] * 4
    assert not torch.equal(seen[0][0], seen[0][4])
    for batches in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], batches, strict=True))


def test_another_seed_is_another_run(load):
    first, second = (pipeline(load, "proxy_anchor", seed) for seed in (0, 1))
    for key in ("trunk", "embedder"):
        pairs = zip(weights(first.models[key]), weights(second.models[key]), strict=True)
        assert not all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(batches_seen(first)[0], batches_seen(second)[0])
    assert [p.subsets["train"].generator.initial_seed() for p in (first, second)] == [0, 1]


def test_the_global_state_does_not_matter(load):
    parts = pipeline(load, "proxy_anchor")
    torch.manual_seed(123)
    again = pipeline(load, "proxy_anchor")
    assert torch.equal(parts.loss.proxies, again.loss.proxies)


def test_a_frozen_trunk_waits_while_the_rest_trains(load):
    options = ["protocol.epochs=2", "protocol.schedule={trunk_frozen_epochs: 1}"]
    parts = pipeline(load, "proxy_anchor", 0, *options, "protocol.optimizer.weight_decay=0.1")
    before = {key: weights(module) for key, module in parts.models.items()}
    proxies = parts.loss.proxies.detach().clone()
    moved = []

    def look(trainer):
        # Compare weights only: statistics of batch norm change while the trunk is frozen.
        pairs = zip(before["trunk"], weights(parts.models["trunk"]), strict=True)
        names = parts.models["trunk"].state_dict()
        moved.append(
            any(
                not torch.equal(a, b)
                for (a, b), name in zip(pairs, names, strict=True)
                if name in dict(parts.models["trunk"].named_parameters())
            )
        )

    parts.trainer(end_of_epoch_hook=look).train(num_epochs=2)
    assert moved == [False, True]
    pairs = zip(before["embedder"], weights(parts.models["embedder"]), strict=True)
    assert all(not torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(proxies, parts.loss.proxies)


def test_gradients_are_clamped_as_the_protocol_says(load):
    parts = pipeline(load, "proxy_anchor", 0, "protocol.max_gradient_value=1e-4")
    seen = []

    def look(trainer):
        modules = [*parts.models.values(), parts.loss]
        seen.append(max(float(p.grad.abs().max()) for m in modules for p in m.parameters()))

    parts.trainer(end_of_iteration_hook=look).train()
    assert seen == pytest.approx([1e-4] * 4)


def test_each_space_gets_the_whole_embedding_size_on_demand(load):
    parts = pipeline(load, "chest", 0, "protocol.equal_total_dimension=false")
    assert parts.sizes == {"euclidean": 8, "hyperbolic": 8}
    assert parts.total_dimension == 16
    parts.try_loss()
    assert pipeline(load, "hyp", 0, "protocol.equal_total_dimension=false").total_dimension == 8


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["protocol.data=digit"], "protocol.data: no data set 'digit': did you mean 'digits'?"),
        (["protocol.data={digits: {size: 3}}"], "digits: unknown argument 'size'"),
        (["protocol.backbone=small_con"], "did you mean 'small_conv'?"),
        (["protocol.backbone={small_conv: {widht: 3}}"], "did you mean 'width'?"),
        (["protocol.backbone={small_conv: {width: 0}}"], "at least 1, got 0"),
        (["protocol.backbone={small_conv: {in_channels: 3}}"], "known from the protocol"),
        (
            ["protocol.backbone=identity"],
            r"identity returns \(1, 8, 8\) for input of size 1 x 8 x 8",
        ),
        (
            ["protocol.backbone={timm: {model: vit_tiny_patch16_224}}"],
            r"timm does not take input of size 1 x 8 x 8 \(.*224.*\): set protocol.image.size",
        ),
        (["protocol.backbone={timm: {model: test_vi}}"], "timm: timm has no model 'test_vi'"),
        (["protocol.splits.test=[7, 12]"], r"splits.test: Digits has no classes \[12\]"),
        (["protocol.embedding_size=9"], "9 cannot be shared equally by 2 spaces"),
        (["protocol.optimizer.arguments.betass=[1, 2]"], "did you mean 'betas'?"),
    ],
)
def test_what_is_refused(load, overrides, message):
    with pytest.raises(InputError, match=message) as caught:
        pipeline(load, "chest", 0, *overrides)
    assert "\n" not in str(caught.value)


def test_images_are_brought_to_a_size(load):
    parts = pipeline(load, "proxy_anchor", 0, "protocol.image={size: 6, resize: 7}")
    assert [batch.shape for batch in batches_seen(parts)] == [(12, 1, 6, 6)] * 8
    image, _ = parts.subsets["test"][0]
    whole = torch.from_numpy(Digits().image(parts.subsets["test"].indices[0]))
    resized = functional.resize(whole, [7], antialias=True)
    assert torch.allclose(image, functional.center_crop(resized, [6, 6]) / 255 * 2 - 1)


def test_only_training_is_augmented(load):
    overrides = [
        "protocol.augmentation={random_resized_crop: {}, random_shift: 2, horizontal_flip: true}"
    ]
    parts = pipeline(load, "proxy_anchor", 0, *overrides)
    for split, same in (("train", False), ("validation", True), ("test", True)):
        first, again = (parts.subsets[split].__getitems__([0, 1, 2])[0] for _ in range(2))
        assert torch.equal(first, again) == same


def test_augmentation_is_the_same_for_all_methods(load):
    overrides = ["protocol.augmentation={random_resized_crop: {}, horizontal_flip: true}"]
    first, second = (
        batches_seen(pipeline(load, name, 0, *overrides)) for name in ("proxy_anchor", "chest")
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


class Features(FeatureData):
    """The pixels of digits as features."""

    level_names = ("digit",)

    def __init__(self):
        digits = Digits()
        self.labels, self.class_names = digits.labels, digits.class_names
        self.features = np.stack([digits.image(i).ravel() for i in range(1797)]) / 255


@pytest.fixture
def load_features(load, monkeypatch):
    monkeypatch.setitem(DATASETS, "features_of_digits", Features)
    return lambda *overrides: load("protocol.data=features_of_digits", *overrides)


def test_features_need_no_backbone(load_features):
    overrides = ["protocol.backbone=identity", "protocol.augmentation={}"]
    config = load_features(*overrides)
    for name in config.methods:
        parts = pipeline(load_features, name, 0, *overrides)
        assert "trunk_optimizer" not in parts.optimizers
        (before,) = [weights(parts.models["embedder"])]
        assert [batch.shape for batch in batches_seen(parts)] == [(12, 64)] * 8
        after = weights(parts.models["embedder"])
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["protocol.augmentation={}"],
            "small_conv takes images, and the data are features of 64 dimensions: use backbone: id",
        ),
        (["protocol.backbone=identity"], "protocol.augmentation would do nothing to precomputed"),
        (
            ["protocol.backbone=identity", "protocol.image={size: 8}"],
            "protocol.image and protocol.augmentation would do nothing .* leave them out",
        ),
    ],
)
def test_what_features_refuse(load_features, overrides, message):
    with pytest.raises(InputError, match=message):
        pipeline(load_features, "chest", 0, *overrides)


def test_frozen_batch_norm_stays_through_training(load):
    def trained(policy):
        parts = pipeline(
            load,
            "proxy_anchor",
            0,
            f"protocol.backbone={{timm: {{model: test_resnet, batch_norm: {policy}}}}}",
            "protocol.image={size: 32}",
            "protocol.steps_per_epoch=2",
        )
        trunk = parts.models["trunk"]
        before = {name: value.clone() for name, value in trunk.state_dict().items()}
        owned = sum(len(g["params"]) for g in parts.optimizers["trunk_optimizer"].param_groups)
        assert owned == sum(p.requires_grad for p in trunk.parameters())
        parts.trainer().train(num_epochs=1)
        after = trunk.state_dict()
        return {name for name in before if not torch.equal(before[name], after[name])}

    statistics = {"running_mean", "running_var", "num_batches_tracked"}
    free = trained("{statistics: trained, affine: trained}")
    assert {name.rpartition(".")[2] for name in free} >= statistics | {"weight", "bias"}
    frozen = trained("{statistics: frozen, affine: frozen}")
    assert {name.rpartition(".")[2] for name in frozen} == {"weight"}
    assert frozen < free


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_keeps_the_dtypes(load, precision):
    config = load(f"protocol.precision={precision}", *SHORT)
    for name in config.methods:
        one_step(config, name)
        parts = Pipeline(ProtocolData(config.protocol), config.methods[name], name, 0)
        assert all(p.dtype == torch.float32 for p in parts.loss.parameters())


def test_the_broken_method_builds(load):
    # Other tests rely on a method that fails while running, not before.
    assert "broken" in METHODS
    assert pipeline(load, "broken").loss.fc.isfinite().all()
