"""The trainer equals PML's own to the last bit, except for precision, clipping and safety."""

import contextlib
import copy
import inspect
import logging

import pytest
import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning import trainers as pml_trainers

from pml_hyperbolic.distances import PoincareDistance, PoincareSimilarity
from pml_hyperbolic.losses import CHESTLoss, HIERLoss
from pml_hyperbolic.regularizers import HIERRegularizer
from pml_hyperbolic.trainers import FiniteCheck, MetricLossOnly, NonFiniteError

CLASSES, SIZE, BATCH = 4, 6, 16
NAN = float("nan")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]
# PML's trainer formats a tensor that requires grad for its progress bar.
PROGRESS_WARNING = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
# PML 2.9's large margin losses pass tensors to NumPy, which deprecates torch's way of converting.
NUMPY_WARNING = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")


class OfMetaClasses(torch.nn.Module):
    """ManifoldLoss takes meta classes in place of labels."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, embeddings, labels, indices_tuple=None):
        return self.loss(embeddings, indices_tuple=labels)


# Every loss of PML that has parameters.
PML_LOSSES = {
    "ArcFaceLoss": lambda: losses.ArcFaceLoss(CLASSES, SIZE),
    "CosFaceLoss": lambda: losses.CosFaceLoss(CLASSES, SIZE),
    "LargeMarginSoftmaxLoss": lambda: losses.LargeMarginSoftmaxLoss(CLASSES, SIZE),
    "ManifoldLoss": lambda: OfMetaClasses(losses.ManifoldLoss(l=SIZE, K=CLASSES)),
    "MarginLoss": lambda: losses.MarginLoss(learn_beta=True, num_classes=CLASSES),
    "NormalizedSoftmaxLoss": lambda: losses.NormalizedSoftmaxLoss(CLASSES, SIZE),
    "P2SGradLoss": lambda: losses.P2SGradLoss(SIZE, CLASSES),
    "ProxyAnchorLoss": lambda: losses.ProxyAnchorLoss(CLASSES, SIZE),
    "ProxyNCALoss": lambda: losses.ProxyNCALoss(CLASSES, SIZE),
    "SoftTripleLoss": lambda: losses.SoftTripleLoss(CLASSES, SIZE, centers_per_class=2),
    "SphereFaceLoss": lambda: losses.SphereFaceLoss(CLASSES, SIZE),
    "SubCenterArcFaceLoss": lambda: losses.SubCenterArcFaceLoss(
        num_classes=CLASSES, embedding_size=SIZE
    ),
}


def hier(kind=HIERLoss):
    return kind(SIZE, 8, num_neighbors=4, triplets_per_anchor=8)


LOSSES = {
    **PML_LOSSES,
    "CHESTLoss": lambda: CHESTLoss(CLASSES, 2, SIZE - 2, hierarchy_weight=1),
    "HIERLoss": hier,
    "HIERRegularizer": lambda: losses.MultiSimilarityLoss(
        embedding_regularizer=hier(HIERRegularizer)
    ),
    "HIERLoss with ProxyAnchorLoss": lambda: losses.MultipleLosses(
        [losses.ProxyAnchorLoss(CLASSES, SIZE, distance=PoincareDistance()), hier()],
        weights=[1, 0.5],
    ),
}
all_losses = pytest.mark.parametrize(
    "build",
    [
        pytest.param(
            build,
            id=name,
            marks=[NUMPY_WARNING] if name in ("LargeMarginSoftmaxLoss", "SphereFaceLoss") else [],
        )
        for name, build in LOSSES.items()
    ],
)


class Trunk(torch.nn.Module):
    """A network whose embeddings have a given dtype and become non-finite at one call."""

    def __init__(self, dtype=None, spoilt_at=None, value=NAN):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, SIZE)
        )
        self.dtype, self.spoilt_at, self.value = dtype, spoilt_at, value
        self.calls = 0

    def forward(self, x):
        x = self.layers(x)
        if self.calls == self.spoilt_at:
            x = x * self.value
        self.calls += 1
        return x if self.dtype is None else x.to(self.dtype)


class Spoilt(torch.nn.Module):
    """A loss that is not finite at one call."""

    def __init__(self, loss, at, value=NAN):
        super().__init__()
        self.loss, self.at, self.value, self.calls = loss, at, value, 0

    def forward(self, *args):
        self.calls += 1
        return self.loss(*args) * (self.value if self.calls == self.at + 1 else 1)


def product_dtype(device):
    """The dtype of a product of float32 matrices, which shows whether autocast is on."""
    return (torch.ones(2, 2, device=device) @ torch.ones(2, 2, device=device)).dtype


class Watching(torch.nn.Module):
    """Identity that records the dtype of its input and that of a matrix product."""

    def __init__(self, module):
        super().__init__()
        self.module, self.seen = module, []

    def forward(self, x, *args):
        self.seen.append((x.dtype, product_dtype(x.device)))
        return self.module(x, *args)


def dataset(count=3 * BATCH):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % CLASSES
    centres = torch.randn(CLASSES, 8, generator=generator)
    x = centres[labels] + 0.5 * torch.randn(count, 8, generator=generator)
    return torch.utils.data.TensorDataset(x, labels)


def make(loss, trunk=None, *, kind=MetricLossOnly, device="cpu", lr=0.05, loss_lr=0.1, **options):
    """A trainer with one SGD optimizer per module."""
    modules = {"trunk": trunk or Trunk(), "embedder": torch.nn.Identity(), "metric_loss": loss}
    modules = {name: module.to(device) for name, module in modules.items()}
    rates = {"trunk": lr, "embedder": lr, "metric_loss": loss_lr}
    settings = {
        "models": {name: modules[name] for name in ("trunk", "embedder")},
        "optimizers": {
            f"{name}_optimizer": torch.optim.SGD(module.parameters(), lr=rates[name])
            for name, module in modules.items()
            if any(p.requires_grad for p in module.parameters())
        },
        "batch_size": BATCH,
        "loss_funcs": {"metric_loss": loss},
        "dataset": dataset(),
        "data_device": torch.device(device),
        "dataloader_num_workers": 0,
        **({"show_progress": False} if kind is MetricLossOnly else {}),
        **options,
    }
    return kind(**settings)


def state(trainer):
    """Copies of all parameters and buffers, by name."""
    modules = {**trainer.models, **trainer.loss_funcs}
    return {
        f"{name}.{path}": value.clone()
        for name, module in modules.items()
        for path, value in module.state_dict().items()
        if not path.endswith("_extra_state")
    }


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def assert_finite(trainer):
    assert all(torch.isfinite(value).all() for value in state(trainer).values())


# Dtypes survive.


def test_every_loss_of_pml_with_parameters_is_listed():
    wrappers = (losses.BaseLossWrapper, losses.MultipleLosses)
    found = {
        name
        for name, kind in inspect.getmembers(losses, inspect.isclass)
        if not issubclass(kind, wrappers)
        and any(
            "Parameter(" in inspect.getsource(base)
            for base in kind.__mro__
            if base.__module__.startswith("pytorch_metric_learning")
        )
    }
    assert found == set(PML_LOSSES)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("precision", "output"),
    [
        (torch.bfloat16, None),
        (torch.float16, None),
        (torch.float32, torch.bfloat16),
        (torch.float32, torch.float16),
        (torch.bfloat16, torch.float16),
    ],
    ids=["bfloat16", "float16", "bfloat16 model", "float16 model", "both"],
)
@all_losses
def test_parameters_move_and_keep_their_dtypes(build, precision, output, device):
    # On CUDA, the scaler of float16 starts high and skips steps until it has found its scale.
    trainer = make(build(), Trunk(output), precision=precision, device=device)
    before = state(trainer)
    trainer.train(num_epochs=1 if device == "cpu" else 8)
    after = state(trainer)
    for name, value in after.items():
        assert value.dtype == before[name].dtype == torch.float32, name
        assert value.device.type == device
        assert not torch.equal(value, before[name]), name
    assert_finite(trainer)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_losses_of_another_dtype_keep_it_too(dtype):
    trainer = make(losses.ProxyAnchorLoss(CLASSES, SIZE).to(dtype))
    before = state(trainer)
    trainer.train()
    assert trainer.loss_funcs["metric_loss"].proxies.dtype == dtype
    assert not torch.equal(state(trainer)["metric_loss.proxies"], before["metric_loss.proxies"])


@PROGRESS_WARNING
@pytest.mark.parametrize("name", ["ArcFaceLoss", "ProxyAnchorLoss", "SoftTripleLoss"])
def test_pmls_own_trainer_changes_dtypes(name):
    # What the test above protects against; if PML fixes it, this trainer can be simplified.
    trainer = make(LOSSES[name](), Trunk(torch.bfloat16), kind=pml_trainers.MetricLossOnly)
    trainer.train()
    assert {p.dtype for p in trainer.loss_funcs["metric_loss"].parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("loss", "given", "expected"),
    [
        (losses.ContrastiveLoss(), torch.bfloat16, torch.float32),
        (losses.ContrastiveLoss(), torch.float32, torch.float32),
        (losses.ContrastiveLoss(), torch.float64, torch.float64),
        (losses.ProxyNCALoss(CLASSES, SIZE), torch.float16, torch.float32),
        (losses.ProxyNCALoss(CLASSES, SIZE).double(), torch.float16, torch.float64),
        (losses.ProxyNCALoss(CLASSES, SIZE).bfloat16(), torch.float32, torch.bfloat16),
        (
            losses.MultipleLosses(
                [losses.ProxyNCALoss(CLASSES, SIZE), losses.ProxyNCALoss(CLASSES, SIZE).double()]
            ),
            torch.bfloat16,
            torch.float64,
        ),
    ],
    ids=["half", "float", "double", "proxies", "double proxies", "bfloat16 proxies", "mixed"],
)
def test_dtype_of_what_losses_are_given(loss, given, expected):
    assert make(loss).loss_dtype(given) == expected


# Autocast applies to models only.


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("outside", [False, True], ids=["plain", "inside autocast"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
def test_only_models_see_autocast(precision, outside, device):
    trunk = Watching(Trunk())
    loss = Watching(losses.ProxyAnchorLoss(CLASSES, SIZE))
    miner = Watching(miners.MultiSimilarityMiner())
    trainer = make(
        loss, trunk, precision=precision, device=device, mining_funcs={"tuple_miner": miner}
    )
    around = torch.autocast(device, dtype=torch.bfloat16)
    with around if outside else contextlib.nullcontext():
        trainer.train()
        assert product_dtype(device) == (torch.bfloat16 if outside else torch.float32)
    assert trunk.seen == [(torch.float32, precision)] * 3
    assert loss.seen == miner.seen == [(torch.float32, torch.float32)] * 3


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_surrounding_autocast_changes_nothing(precision, device):
    # Its cache of cast weights, shared by nested autocasts, would otherwise outlive the steps.
    results = []
    for around in (contextlib.nullcontext(), torch.autocast(device, dtype=torch.bfloat16)):
        torch.manual_seed(1)
        trainer = make(losses.ProxyAnchorLoss(CLASSES, SIZE), precision=precision, device=device)
        with around:
            trainer.train(num_epochs=2)
        results.append(state(trainer))
    assert_same(*results)


class KeepsAll(torch.nn.Module):
    def forward(self, embeddings, labels):
        return torch.arange(len(labels))


def test_mining_a_subset_without_gradients_does_not_stop_the_models():
    results = []
    for mining in ({}, {"subset_batch_miner": KeepsAll()}):
        torch.manual_seed(1)
        trainer = make(
            losses.ProxyAnchorLoss(CLASSES, SIZE), precision=torch.bfloat16, mining_funcs=mining
        )
        before = state(trainer)
        trainer.train()
        results.append(state(trainer))
    assert not torch.equal(before["trunk.layers.0.weight"], results[1]["trunk.layers.0.weight"])
    assert_same(*results)


# In float32 it behaves as PML's own trainer.


def twins(build, **options):
    """The states that PML's trainer and ours reach from the same seed."""
    results = []
    for kind in (pml_trainers.MetricLossOnly, MetricLossOnly):
        torch.manual_seed(1)
        trunk = torch.nn.Sequential(Trunk(), torch.nn.BatchNorm1d(SIZE), torch.nn.Dropout(0.1))
        made = {name: value() for name, value in options.items()}
        trainer = make(build(), trunk, kind=kind, **made)
        before = state(trainer)
        trainer.train(num_epochs=2)
        assert not torch.equal(
            state(trainer)["trunk.0.layers.0.bias"], before["trunk.0.layers.0.bias"]
        )
        results.append(state(trainer))
    return results


@PROGRESS_WARNING
@all_losses
def test_equals_pmls_trainer_bit_for_bit(build):
    assert_same(*twins(build))


@PROGRESS_WARNING
@pytest.mark.parametrize(
    "options",
    [
        {"mining_funcs": lambda: {"tuple_miner": miners.MultiSimilarityMiner()}},
        {"mining_funcs": lambda: {"subset_batch_miner": KeepsAll()}},
        {"iterations_per_epoch": lambda: 5},
        {"freeze_these": lambda: ("metric_loss",)},
        {"freeze_trunk_batchnorm": lambda: True},
        {"loss_weights": lambda: {"metric_loss": 0.3}},
        {"set_min_label_to_zero": lambda: True, "dataset_labels": lambda: list(range(CLASSES))},
    ],
    ids=lambda options: "-".join(options),
)
def test_equals_pmls_trainer_with_its_options(options):
    assert_same(*twins(lambda: losses.ProxyAnchorLoss(CLASSES, SIZE), **options))


# Gradient clipping.


def one_step(loss, trunk=None, device="cpu", **options):
    """The step that SGD makes at learning rate 1, by parameter name."""
    trainer = make(loss, trunk, device=device, lr=1, loss_lr=1, batch_size=3 * BATCH, **options)
    before = state(trainer)
    trainer.train()
    return {name: before[name] - value for name, value in state(trainer).items()}


def expected_step(loss, trunk, max_norm):
    """The same by hand: gradients of models and those of losses, each scaled to max_norm."""
    x, labels = dataset().tensors
    parameters = {
        **{f"trunk.{name}": p for name, p in trunk.named_parameters()},
        **{f"metric_loss.{name}": p for name, p in loss.named_parameters()},
    }
    gradients = torch.autograd.grad(loss(trunk(x), labels), list(parameters.values()))
    steps = dict(zip(parameters, gradients, strict=True))
    for part in ("trunk", "metric_loss"):
        names = [name for name in steps if name.startswith(part)]
        norm = sum(float(steps[name].double().square().sum()) for name in names) ** 0.5
        for name in names:
            steps[name] = steps[name] * min(1, max_norm / norm)
    return steps


@pytest.mark.parametrize("max_norm", [0.01, 20, 1e6, float("inf")])
def test_models_and_losses_are_clipped_separately(max_norm):
    loss, trunk = losses.ProxyAnchorLoss(CLASSES, SIZE), Trunk()
    expected = expected_step(copy.deepcopy(loss), copy.deepcopy(trunk), max_norm)
    step = one_step(loss, trunk, max_gradient_norm=max_norm)
    torch.testing.assert_close(step, expected, rtol=1e-4, atol=1e-5 * min(max_norm, 1))


def test_the_norms_above_clip_both_or_one_or_none():
    step = expected_step(losses.ProxyAnchorLoss(CLASSES, SIZE), Trunk(), float("inf"))
    models, proxies = (
        torch.cat([v.flatten() for name, v in step.items() if name.startswith(part)]).norm()
        for part in ("trunk", "metric_loss")
    )
    assert 0.01 < proxies < 20 < models < 1e6


def test_trunk_and_embedder_share_one_norm():
    trunk, embedder = Trunk(), torch.nn.Linear(SIZE, SIZE)
    both = torch.nn.Sequential(copy.deepcopy(trunk), copy.deepcopy(embedder))
    step = expected_step(losses.MultiSimilarityLoss(), both, 0.01)
    trainer = make(
        losses.MultiSimilarityLoss(),
        models={"trunk": trunk, "embedder": embedder},
        optimizers={
            "trunk_optimizer": torch.optim.SGD(trunk.parameters(), lr=1),
            "embedder_optimizer": torch.optim.SGD(embedder.parameters(), lr=1),
        },
        batch_size=3 * BATCH,
        max_gradient_norm=0.01,
    )
    before = embedder.weight.detach().clone()
    trainer.train()
    moved = before - embedder.weight.detach()
    torch.testing.assert_close(moved, step["trunk.1.weight"], rtol=1e-4, atol=1e-7)


def test_pmls_own_clippers_come_last():
    trunk, seen = Trunk(), []
    trainer = make(
        losses.MultiSimilarityLoss(),
        trunk,
        max_gradient_norm=0.01,
        gradient_clippers={
            "trunk_grad_clipper": lambda: seen.append(
                torch.cat([p.grad.flatten() for p in trunk.parameters()]).norm()
            )
        },
    )
    trainer.train()
    assert len(seen) == 3
    assert max(seen) <= 0.01 * (1 + 1e-5)


@needs_cuda
def test_scaled_gradients_are_clipped_at_their_true_norm():
    trunk, loss = Trunk(), losses.ProxyAnchorLoss(CLASSES, SIZE)
    trainer = make(
        loss, trunk, device="cuda", precision=torch.float16, max_gradient_norm=0.01, lr=1, loss_lr=1
    )
    trainer.train(num_epochs=10)  # the scaler has found its scale
    before = state(trainer)
    trainer.iterations_per_epoch = 1
    trainer.train()
    for part in ("trunk", "metric_loss"):
        steps = [before[name] - v for name, v in state(trainer).items() if name.startswith(part)]
        norm = torch.cat([step.flatten() for step in steps]).norm().item()
        assert norm == pytest.approx(0.01, rel=0.01)


# Divergence.


@pytest.mark.parametrize("value", [NAN, float("inf")])
@pytest.mark.parametrize("at", [0, 1, 4])
@pytest.mark.parametrize("what", ["embeddings", "loss"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_non_finite_value_stops_the_run_before_its_step(what, at, value, precision):
    proxies, trunk, good = losses.ProxyAnchorLoss(CLASSES, SIZE), Trunk(), []
    if what == "embeddings":
        trunk = Trunk(spoilt_at=at, value=value)
        loss = proxies
    else:
        loss = Spoilt(proxies, at, value)
    trainer = make(
        loss,
        trunk,
        name="CHEST, seed 3",
        precision=precision,
        end_of_iteration_hook=lambda trainer: good.append(state(trainer)),
    )
    good.append(state(trainer))
    message = (
        rf"^CHEST, seed 3: {what} became NaN or infinite at step {at} "
        r"\(learning rates: trunk 0.05, metric_loss 0.1\): lower the learning rate"
    )
    with pytest.raises(NonFiniteError, match=message):
        trainer.train(num_epochs=3)
    assert len(good) == at + 1
    assert_same(state(trainer), good[-1])
    assert_finite(trainer)


@pytest.mark.parametrize(
    ("build", "scale"),
    [
        (lambda: losses.SoftTripleLoss(CLASSES, SIZE, la=20), "; scale la 20"),
        (lambda: CHESTLoss(CLASSES, 2, SIZE - 2, la=12.5), "; scale la 12.5"),
        (
            lambda: losses.MultipleLosses(
                [losses.SoftTripleLoss(CLASSES, SIZE, la=la) for la in (30, 10)]
            ),
            "; scale la 10, 30",
        ),
        (lambda: losses.ContrastiveLoss(), ""),
    ],
    ids=["SoftTriple", "CHEST", "two scales", "none"],
)
def test_the_message_names_the_losses_scale(build, scale):
    trainer = make(build(), Trunk(spoilt_at=1))
    with pytest.raises(NonFiniteError, match=rf"metric_loss 0.1{scale}\):|trunk 0.05{scale}\):"):
        trainer.train()


def test_every_learning_rate_is_named():
    trunk = Trunk(spoilt_at=0)
    first, last = trunk.layers[0], trunk.layers[2]
    optimizer = torch.optim.AdamW(
        [{"params": first.parameters(), "lr": 1e-5}, {"params": last.parameters()}], lr=0.5
    )
    trainer = make(losses.ContrastiveLoss(), trunk, optimizers={"trunk_optimizer": optimizer})
    with pytest.raises(
        NonFiniteError, match=r"^the run: .*\(learning rates: trunk 1e-05, trunk 0.5\)"
    ):
        trainer.train()


def test_a_scale_too_large_for_soft_triple():
    loss = losses.SoftTripleLoss(CLASSES, SIZE, la=1e39)
    with pytest.raises(NonFiniteError, match=r"loss became NaN.* step 0 .*scale la 1e\+39"):
        make(loss).train()


def test_a_learning_rate_too_large():
    trainer = make(losses.NPairsLoss(), lr=1e25)
    with pytest.raises(NonFiniteError, match=r"at step [1-9] \(learning rates: trunk 1e\+25\)"):
        trainer.train(num_epochs=2)


@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_proxies_that_diverged_are_no_wrong_argument(value):
    loss = losses.SoftTripleLoss(CLASSES, SIZE, distance=PoincareSimilarity())
    loss.fc.data[0, 0] = value
    with pytest.raises(NonFiniteError, match=r"^the run: the loss's fc became NaN.* at step 0 "):
        make(loss).train()


def test_a_loss_that_refuses_its_arguments_is_heard():
    with pytest.raises(ValueError, match=r"shape \(N, 4\), got"):
        make(CHESTLoss(CLASSES, 2, 2)).train()


def test_a_stopped_trainer_can_start_again():
    trunk = Trunk(spoilt_at=1)
    trainer = make(losses.ProxyAnchorLoss(CLASSES, SIZE), trunk)
    with pytest.raises(NonFiniteError):
        trainer.train()
    trainer.train()
    assert trunk.calls == 2 + 3


@pytest.fixture
def unseen_at_once(monkeypatch):
    """Values are checked as on an accelerator: only when the trainer fetches the result."""
    update = FiniteCheck.update
    monkeypatch.setattr(FiniteCheck, "update", lambda *args: update(*args) or True)


@pytest.mark.usefixtures("unseen_at_once")
@pytest.mark.parametrize(
    ("at", "interval", "stops_after"),
    [(0, 1, 1), (0, 2, 2), (1, 2, 2), (1, 4, 4), (4, 4, 5), (1, 50, 5), (6, 3, 8)],
)
def test_on_an_accelerator_it_looks_now_and_then_and_after_each_epoch(at, interval, stops_after):
    trunk, epochs = Trunk(spoilt_at=at), []
    trainer = make(
        losses.ProxyAnchorLoss(CLASSES, SIZE),
        trunk,
        iterations_per_epoch=5,
        check_interval=interval,
        end_of_epoch_hook=lambda trainer: epochs.append(trainer.epoch),
    )
    with pytest.raises(NonFiniteError, match=f"embeddings became NaN or infinite at step {at} "):
        trainer.train(num_epochs=3)
    assert trunk.calls == stops_after
    assert len(epochs) == at // 5  # no hook scores or saves a diverged epoch


def scaled(loss, trunk=None, **options):
    """A trainer that scales gradients, which by default it only does on CUDA."""
    trainer = make(loss, trunk, **options)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    return trainer


@pytest.mark.parametrize("max_norm", [None, 0.01])
def test_scaling_by_powers_of_two_changes_nothing(max_norm):
    results = []
    for build in (make, scaled):
        torch.manual_seed(1)
        trainer = build(losses.ProxyAnchorLoss(CLASSES, SIZE), max_gradient_norm=max_norm)
        trainer.train(num_epochs=2)
        results.append(state(trainer))
    assert_same(*results)


@pytest.mark.usefixtures("unseen_at_once")
@pytest.mark.parametrize("what", ["embeddings", "loss"])
def test_the_scaler_steps_over_a_non_finite_value(what):
    loss, trunk = losses.ProxyAnchorLoss(CLASSES, SIZE), Trunk(spoilt_at=4)
    if what == "loss":
        loss, trunk = Spoilt(loss, 4), Trunk()
    trainer = scaled(loss, trunk, max_gradient_norm=1)
    with pytest.raises(NonFiniteError, match=f"{what} became NaN or infinite at step 4 "):
        trainer.train(num_epochs=3)
    assert_finite(trainer)


def test_the_scaler_skips_an_optimizer_without_gradients():
    trunk = Trunk()
    optimizers = {
        "trunk_optimizer": torch.optim.SGD(trunk.parameters(), lr=0.1),
        "embedder_optimizer": torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1),
    }
    trainer = scaled(losses.ContrastiveLoss(), trunk, optimizers=optimizers)
    before = state(trainer)
    trainer.train()
    assert not torch.equal(state(trainer)["trunk.layers.0.weight"], before["trunk.layers.0.weight"])


@needs_cuda
@pytest.mark.parametrize("what", ["embeddings", "loss"])
@pytest.mark.parametrize("interval", [1, 50])
def test_the_scaler_steps_over_what_stops_the_run(what, interval):
    loss, trunk = losses.ProxyAnchorLoss(CLASSES, SIZE), Trunk(spoilt_at=25)
    if what == "loss":
        loss, trunk = Spoilt(loss, 25), Trunk()
    trainer = make(loss, trunk, device="cuda", precision=torch.float16, check_interval=interval)
    with pytest.raises(NonFiniteError, match=f"{what} became NaN or infinite at step 25 "):
        trainer.train(num_epochs=20)
    assert_finite(trainer)


@needs_cuda
def test_the_scaler_is_for_float16_on_cuda():
    precisions = (torch.float32, torch.bfloat16, torch.float16)
    enabled = [
        make(losses.ContrastiveLoss(), device="cuda", precision=p).scaler.is_enabled()
        for p in precisions
    ]
    assert enabled == [False, False, True]


# Parameters that no optimizer would update.


def refuses(trainer, message):
    before = state(trainer)
    with pytest.raises(ValueError, match=message):
        trainer.train()
    assert_same(state(trainer), before)
    assert trainer.models["trunk"].calls == 0


def test_forgotten_proxies_are_refused_before_training():
    trunk = Trunk()
    optimizers = {"trunk_optimizer": torch.optim.SGD(trunk.parameters(), lr=0.1)}
    trainer = make(losses.ProxyAnchorLoss(CLASSES, SIZE), trunk, optimizers=optimizers)
    refuses(trainer, r"^metric_loss.proxies is in no optimizer.* metric_loss_optimizer\)")


def test_parameters_in_two_optimizers_are_refused_before_training():
    trunk = Trunk()
    optimizers = {
        f"{name}_optimizer": torch.optim.SGD(trunk.parameters(), lr=0.1)
        for name in ("trunk", "embedder")
    }
    trainer = make(losses.ContrastiveLoss(), trunk, optimizers=optimizers)
    refuses(trainer, r"trunk_optimizer and embedder_optimizer\).* in two optimizers")


def test_an_optimizer_that_is_frozen_moves_nothing():
    trunk, loss = Trunk(), losses.ProxyAnchorLoss(CLASSES, SIZE)
    everything = torch.optim.SGD([*trunk.parameters(), *loss.parameters()], lr=0.1)
    optimizers = {"trunk_optimizer": everything}
    trainer = make(loss, trunk, optimizers=optimizers, freeze_these=("trunk",))
    refuses(trainer, r"^metric_loss.proxies is in no optimizer")


@pytest.mark.parametrize("with_optimizer", [True, False])
@pytest.mark.parametrize("frozen", ["trunk", "metric_loss"])
def test_frozen_modules_need_no_optimizer_and_stay(frozen, with_optimizer):
    modules = {"trunk": Trunk(), "metric_loss": losses.ProxyAnchorLoss(CLASSES, SIZE)}
    optimizers = {
        f"{name}_optimizer": torch.optim.SGD(module.parameters(), lr=0.1)
        for name, module in modules.items()
        if with_optimizer or name != frozen
    }
    trainer = make(
        modules["metric_loss"],
        modules["trunk"],
        optimizers=optimizers,
        freeze_these=(frozen,),
        max_gradient_norm=1,
    )
    before = state(trainer)
    trainer.train()
    for name, value in state(trainer).items():
        assert torch.equal(value, before[name]) == name.startswith(frozen), name


def test_parameters_that_need_no_gradient_need_no_optimizer():
    trunk = Trunk()
    trunk.layers[0].requires_grad_(False)
    optimizers = {"trunk_optimizer": torch.optim.SGD(trunk.layers[2].parameters(), lr=0.1)}
    trainer = make(losses.ContrastiveLoss(), trunk, optimizers=optimizers)
    before = state(trainer)
    trainer.train()
    for name, value in state(trainer).items():
        assert torch.equal(value, before[name]) == ("layers.0" in name), name


@pytest.mark.parametrize("max_value", [1e-3, 0.05, 1e6])
def test_elements_are_clamped_after_the_norms(max_value):
    loss, trunk = losses.ProxyAnchorLoss(CLASSES, SIZE), Trunk()
    whole = expected_step(copy.deepcopy(loss), copy.deepcopy(trunk), 1.0)
    expected = {name: value.clamp(-max_value, max_value) for name, value in whole.items()}
    touched = sum(int((value.abs() > max_value).sum()) for value in whole.values())
    assert (touched == 0) == (max_value == 1e6)
    step = one_step(loss, trunk, max_gradient_norm=1.0, max_gradient_value=max_value)
    torch.testing.assert_close(step, expected, rtol=1e-4, atol=1e-7)


def test_a_loss_without_parameters_has_nothing_to_clamp():
    step = one_step(losses.MultiSimilarityLoss(), Trunk(), max_gradient_value=1e-3)
    largest = max(float(value.abs().max()) for value in step.values())
    assert largest == pytest.approx(1e-3, abs=1e-6)


@pytest.mark.parametrize("scale", [0.5, 1 / 128, 3.0])
def test_the_networks_gradient_is_scaled_and_the_proxies_is_not(scale):
    loss, trunk = losses.ProxyAnchorLoss(CLASSES, SIZE), Trunk()
    whole, scaled = (
        one_step(copy.deepcopy(loss), copy.deepcopy(trunk), **options)
        for options in ({}, {"network_gradient_scale": scale})
    )
    for name, value in whole.items():
        factor = 1 if name.startswith("metric_loss") else scale
        torch.testing.assert_close(scaled[name], factor * value, rtol=1e-4, atol=1e-7)


def test_half_the_networks_gradient_is_that_of_two_processes_of_hiers_code():
    trunk, loss = Trunk(), losses.MultiSimilarityLoss()
    data, labels = torch.randn(8, 8), torch.arange(8) % 2
    halves = []
    for own in (slice(0, 4), slice(4, 8)):
        # Each process gathers the embeddings of both, and only its own rows carry a gradient.
        gathered = trunk(data).detach()
        rows = trunk(data[own])
        gathered[own] = rows
        halves.append(torch.autograd.grad(loss(gathered, labels), list(trunk.parameters())))
    # DistributedDataParallel takes the mean.
    expected = [(a + b) / 2 for a, b in zip(*halves, strict=True)]
    trainer = make(loss, trunk, network_gradient_scale=0.5)
    trainer.epoch, trainer.iteration, trainer.iterations_per_epoch = 1, 0, 1
    trainer.calculate_loss((data, labels))
    found = torch.autograd.grad(trainer.losses["metric_loss"], list(trunk.parameters()))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": torch.float64}, "precision must be .* got torch.float64"),
        ({"precision": "bfloat16"}, "precision must be .* got bfloat16"),
        ({"precision": None}, "precision must be .* got None"),
        ({"max_gradient_norm": 0}, "max_gradient_norm must be > 0 or None, got 0"),
        ({"max_gradient_norm": -1.0}, "max_gradient_norm must be > 0 or None, got -1.0"),
        ({"max_gradient_norm": NAN}, "max_gradient_norm must be > 0 or None, got nan"),
        ({"max_gradient_value": 0}, "max_gradient_value must be > 0 or None, got 0"),
        ({"max_gradient_value": NAN}, "max_gradient_value must be > 0 or None, got nan"),
        ({"network_gradient_scale": 0}, "a finite network_gradient_scale > 0, got 0"),
        ({"network_gradient_scale": NAN}, "a finite network_gradient_scale > 0, got nan"),
        ({"check_interval": 0}, "an integer check_interval >= 1, got 0"),
        ({"check_interval": -5}, "an integer check_interval >= 1, got -5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(losses.ContrastiveLoss(), **arguments)


def test_pmls_own_checks_of_arguments_remain():
    with pytest.raises(AssertionError, match="loss_funcs"):
        make(losses.ContrastiveLoss(), loss_funcs={"wrong_name": losses.ContrastiveLoss()})


def test_pmls_arguments_by_position():
    model = Trunk()
    trainer = MetricLossOnly(
        {"trunk": model},
        {"trunk_optimizer": torch.optim.SGD(model.parameters(), lr=0.1)},
        BATCH,
        {"metric_loss": losses.ContrastiveLoss()},
        dataset(),
        data_device=torch.device("cpu"),
        dataloader_num_workers=0,
        show_progress=False,
    )
    trainer.train()
    assert model.calls == 3


# Hooks, schedulers, miners, progress.


def test_hooks_see_every_iteration_and_epoch():
    iterations, epochs = [], []
    trainer = make(
        losses.ProxyAnchorLoss(CLASSES, SIZE),
        end_of_iteration_hook=lambda t: iterations.append(
            (t.epoch, t.iteration, t.losses["total_loss"].item())
        ),
        end_of_epoch_hook=lambda t: epochs.append((t.epoch, t.losses["total_loss"])),
    )
    trainer.train(start_epoch=2, num_epochs=3)
    assert [entry[:2] for entry in iterations] == [(e, i) for e in (2, 3) for i in range(3)]
    assert all(loss > 0 for _, _, loss in iterations)
    assert epochs == [(2, 0), (3, 0)]  # PML clears the losses first


@pytest.mark.parametrize(("answer", "epochs"), [(False, 1), (None, 3), (True, 3), (0, 3)])
def test_only_false_from_the_hook_stops(answer, epochs):
    seen = []

    def hook(trainer):
        seen.append(trainer.epoch)
        return answer

    make(losses.ContrastiveLoss(), end_of_epoch_hook=hook).train(num_epochs=3)
    assert len(seen) == epochs


def test_schedulers_step_by_iteration_and_by_epoch():
    trunk, loss = Trunk(), losses.ProxyAnchorLoss(CLASSES, SIZE)
    optimizers = {
        "trunk_optimizer": torch.optim.SGD(trunk.parameters(), lr=1e-3),
        "metric_loss_optimizer": torch.optim.SGD(loss.parameters(), lr=1e-3),
    }
    halve, rates = torch.optim.lr_scheduler.ExponentialLR, []
    trainer = make(
        loss,
        trunk,
        optimizers=optimizers,
        lr_schedulers={
            "trunk_scheduler_by_iteration": halve(optimizers["trunk_optimizer"], 0.5),
            "metric_loss_scheduler_by_epoch": halve(optimizers["metric_loss_optimizer"], 0.5),
        },
        end_of_iteration_hook=lambda t: rates.append(
            tuple(o.param_groups[0]["lr"] for o in optimizers.values())
        ),
    )
    trainer.train(num_epochs=2)
    assert rates == [(1e-3 * 0.5**step, 1e-3 * 0.5 ** (step // 3)) for step in range(6)]


def test_miners_choose_what_the_loss_sees():
    seen = []

    class Loss(torch.nn.Module):
        def forward(self, embeddings, labels, indices_tuple):
            seen.append((embeddings.detach(), labels, indices_tuple))
            return embeddings.square().mean()

    miner = miners.BatchHardMiner(distance=PoincareDistance())
    make(Loss(), mining_funcs={"tuple_miner": miner}).train()
    assert len(seen) == 3
    for embeddings, labels, mined in seen:
        for got, expected in zip(mined, miner(embeddings, labels), strict=True):
            assert torch.equal(got, expected)


def test_a_loss_of_weight_zero_is_not_computed():
    trainer = make(losses.ContrastiveLoss(), loss_weights={"metric_loss": 0})
    trainer.initialize_dataloader()
    trainer.epoch, trainer.iteration = 1, 0
    trainer.calculate_loss(trainer.get_batch())
    assert trainer.losses["metric_loss"] == 0


@pytest.mark.parametrize("show_progress", [True, False])
def test_progress_only_when_asked_for(show_progress, capsys):
    trainer = make(losses.ContrastiveLoss(), show_progress=show_progress)
    capsys.readouterr()
    trainer.train(num_epochs=2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("epoch 2" in captured.err) == bool(captured.err) == show_progress


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_hier_beside_proxy_anchor_learns(precision):
    loss, history = LOSSES["HIERLoss with ProxyAnchorLoss"](), []
    trainer = make(
        loss,
        precision=precision,
        max_gradient_norm=10,
        loss_lr=1,
        end_of_iteration_hook=lambda t: history.append(t.losses["total_loss"].item()),
    )
    before = state(trainer)
    trainer.train(num_epochs=20)
    assert sum(history[-3:]) < 0.7 * sum(history[:3])
    for proxies in ("metric_loss.losses.0.proxies", "metric_loss.losses.1.proxies"):
        assert not torch.equal(state(trainer)[proxies], before[proxies])


def test_a_trunk_without_parameters_needs_no_optimizer(caplog):
    def warnings(trunk):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "PML"):
            make(losses.ContrastiveLoss(), trunk, optimizers={})
        return [record.getMessage() for record in caplog.records]

    missing = 'optimizers is missing "trunk_optimizer"'
    assert missing in warnings(torch.nn.Linear(8, 8))
    assert missing not in warnings(torch.nn.Identity())
