"""One run's parts: the same for all methods under one seed, except the loss."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from pml_hyperbolic.backbones import SmallConv, TimmBackbone
from pml_hyperbolic.benchmark.assembly.class_sampler import ClassSampler
from pml_hyperbolic.benchmark.assembly.pipeline import (
    Pipeline,
    choose_device,
    space_sizes,
    to_trunk_device,
)
from pml_hyperbolic.benchmark.config import ProtocolConfig
from pml_hyperbolic.benchmark.datasets import DATASETS, Digits, ImageData
from pml_hyperbolic.errors import InputError

from ..conftest import METHODS, PROTOCOL
from ..steps import one_step, weights

SHORT = ["protocol.epochs=1", "protocol.steps_per_epoch=1", "protocol.evaluation.every=1"]


def pipeline(load, name, seed=0, *overrides):
    config = load(f"methods=[{name}]", *overrides)
    return Pipeline(config.protocol, config.methods[name], name, seed)


def batches_seen(parts):
    """Batches that two epochs of training feed to the trunk."""
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


def test_sampler_keeps_to_its_own_numbers():
    def draw(before):
        sampler = ClassSampler(torch.arange(30) % 3, 2, batch_size=4, steps=5, seed=7)
        passes = []
        for _ in range(2):
            before()
            passes.append(list(sampler))
        return passes

    import numpy as np

    first = draw(lambda: None)
    assert first == draw(lambda: np.random.rand(3))  # noqa: NPY002
    assert first[0] != first[1]
    batch = torch.tensor(first[0]).reshape(5, 2, 2) % 3
    assert (batch[..., 0] == batch[..., 1]).all()


def test_parameters_have_their_rates(load):
    parts = pipeline(load, "chest", 0, "protocol.optimizer.head_lr=0.5")
    rates = {name: o.param_groups[0]["lr"] for name, o in parts.optimizers.items()}
    assert rates == {
        "trunk_optimizer": 1e-3,
        "embedder_optimizer": 0.5,
        "metric_loss_optimizer": 0.01,
    }
    assert parts.sizes == {"euclidean": 4, "hyperbolic": 4}


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ({}, [1.0, 1.0, 1.0, 1.0, 1.0]),
        ({"warmup_steps": 3}, [0.25, 0.5, 0.75, 1.0, 1.0]),
        ({"shape": "cosine"}, [1.0, 0.8535533905932737, 0.5, 0.14644660940672627, 0.0]),
        ({"shape": "cosine", "warmup_steps": 2}, [1 / 3, 2 / 3, 1.0, 0.5, 0.0]),
    ],
)
def test_schedule(load, schedule, factors):
    parts = pipeline(load, "proxy_anchor", 0, "protocol.epochs=2", "protocol.steps_per_epoch=2")
    parts.protocol = ProtocolConfig(
        **{**PROTOCOL, "epochs": 2, "steps_per_epoch": 2, "schedule": schedule}
    )
    assert [parts.lr_factor(step) for step in range(5)] == pytest.approx(factors)


def test_steps_are_those_of_torch(load):
    parts = pipeline(
        load,
        "proxy_anchor",
        0,
        "protocol.epochs=7",
        "protocol.steps_per_epoch=2",
        "protocol.schedule={shape: step, every_epochs: 3, factor: 0.3}",
    )
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.3)
    for epoch in range(7):
        for step in (2 * epoch, 2 * epoch + 1):
            assert parts.lr_factor(step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_a_frozen_trunk_waits_while_the_rest_trains(load):
    options = ["protocol.epochs=2", "protocol.schedule={trunk_frozen_epochs: 1}"]
    parts = pipeline(load, "proxy_anchor", 0, *options, "protocol.optimizer.weight_decay=0.1")
    before = {key: weights(module) for key, module in parts.models.items()}
    proxies = parts.loss.proxies.detach().clone()
    moved = []

    def look(trainer):
        # Weights, not the statistics of batch normalisation.
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
    assert [parts.trunk_lr_factor(step) for step in (0, 3, 4, 7)] == [0, 0, 1, 1]
    assert [parts.lr_factor(step) for step in (0, 7)] == [1, 1]


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
        (["protocol.backbone=identity"], r"identity makes \(1, 8, 8\) of input of size 1 x 8 x 8"),
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


def test_images_of_several_sizes_need_one(load, monkeypatch):
    class Ragged(Digits):
        def image(self, index):
            return super().image(index)[:, : 6 + index % 3]

    monkeypatch.setitem(DATASETS, "digits", Ragged)
    with pytest.raises(InputError, match=r"^images are of several sizes, 6 to 8 high and 8 to 8"):
        pipeline(load, "proxy_anchor")
    parts = pipeline(load, "proxy_anchor", 0, "protocol.image={size: 6}")
    assert [batch.shape for batch in batches_seen(parts)] == [(12, 1, 6, 6)] * 8


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


class Features(ImageData):
    """The pixels of digits, as features."""

    level_names = ("digit",)

    def __init__(self):
        digits = Digits()
        self.labels, self.class_names = digits.labels, digits.class_names
        self.features = np.stack([digits.image(i).ravel() for i in range(1797)]) / 255

    def image(self, index):
        raise AssertionError("features have no images")


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
        (["protocol.augmentation={}"], "small_conv does not take input of size 64"),
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


def test_convolutions_are_channels_last_and_patch_embeddings_are_not():
    for model, channels_last in ((SmallConv(3), True), (TimmBackbone(3, "test_vit"), False)):
        trunk = to_trunk_device(model, torch.device("cpu"))
        convolutions = [m for m in trunk.modules() if isinstance(m, torch.nn.Conv2d)]
        formats = {
            m.weight.is_contiguous(memory_format=torch.channels_last)
            and not m.weight.is_contiguous()
            for m in convolutions
        }
        assert formats == {channels_last}


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


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_keeps_the_dtypes(load, precision):
    config = load(f"protocol.precision={precision}", *SHORT)
    for name in config.methods:
        one_step(config, name)
        parts = Pipeline(config.protocol, config.methods[name], name, 0)
        assert all(p.dtype == torch.float32 for p in parts.loss.parameters())


def test_the_broken_method_builds(load):
    # It must fail while running, not before: other tests rely on it.
    assert "broken" in METHODS
    assert pipeline(load, "broken").loss.fc.isfinite().all()
