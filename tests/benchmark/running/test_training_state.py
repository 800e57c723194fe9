"""The state of a trainer holds everything that its next steps depend on."""

import random

import numpy as np
import pytest
import torch
from pytorch_metric_learning import losses, miners

from pml_hyperbolic.benchmark.assembly.class_sampler import ClassSampler
from pml_hyperbolic.benchmark.running.training_state import restore_training, training_state
from pml_hyperbolic.trainers import MetricLossOnly


class Noisy(torch.utils.data.TensorDataset):
    """A data set whose items have noise from a generator of their own, as augmentation does."""

    def __init__(self, *tensors):
        super().__init__(*tensors)
        self.generator = torch.Generator()

    def __getitem__(self, item):
        x, label = super().__getitem__(item)
        return x + 0.1 * torch.randn(x.shape, generator=self.generator), label


class Drawing(torch.nn.Module):
    """A layer that draws from every global generator."""

    def forward(self, x):
        noise = random.random() + np.random.rand() + torch.rand(())  # noqa: NPY002
        return x * (1 + 0.1 * noise)


class Counting(miners.MultiSimilarityMiner):
    """A miner whose choice depends on how often it was called."""

    calls = 0

    def mine(self, *arguments):
        self.calls += 1
        self.epsilon = 0.05 * (self.calls % 4)
        return super().mine(*arguments)


class Averaging(losses.ContrastiveLoss):
    """A loss scaled by a running mean that is neither a parameter nor a buffer."""

    def __init__(self):
        super().__init__()
        self.mean = torch.ones(())

    def forward(self, *arguments, **options):
        loss = super().forward(*arguments, **options)
        self.mean = 0.5 * (self.mean + loss.detach())
        return loss / self.mean


LOSSES = {
    "CrossBatchMemory": lambda: losses.CrossBatchMemory(
        losses.ContrastiveLoss(), 3, memory_size=28
    ),
    "memory inside MultipleLosses": lambda: losses.MultipleLosses(
        [
            losses.CrossBatchMemory(losses.NTXentLoss(), 3, memory_size=28),
            losses.TripletMarginLoss(),
        ]
    ),
    "Averaging": lambda: Averaging(),
    "ProxyAnchorLoss": lambda: losses.ProxyAnchorLoss(4, 3),
}


def make(loss, hook=None):
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    labels = torch.arange(24) % 4
    data = Noisy(torch.randn(24, 5) + labels[:, None], labels)
    models = {"trunk": torch.nn.Sequential(torch.nn.BatchNorm1d(5), Drawing())}
    models["embedder"] = torch.nn.Linear(5, 3)
    loss = LOSSES[loss]()
    modules = {**models, "metric_loss": loss}
    optimizers = {
        f"{name}_optimizer": torch.optim.AdamW(module.parameters(), lr=0.05)
        for name, module in modules.items()
        if list(module.parameters())
    }
    return MetricLossOnly(
        models,
        optimizers,
        8,
        {"metric_loss": loss},
        data,
        mining_funcs={"tuple_miner": Counting()},
        iterations_per_epoch=3,
        data_device=torch.device("cpu"),
        sampler=ClassSampler(labels, 2, batch_size=8, steps=3, seed=5),
        lr_schedulers={
            f"{name.removesuffix('_optimizer')}_scheduler_by_iteration": (
                torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
            )
            for name, optimizer in optimizers.items()
        },
        dataloader_num_workers=0,
        show_progress=False,
        end_of_epoch_hook=hook,
    )


def outcome(trainer):
    """Return everything that was learned, and the random numbers that would be drawn next."""
    modules = {**trainer.models, **trainer.loss_funcs}
    weights = [v.clone() for m in modules.values() for v in m.state_dict().values()]
    draws = [random.random(), np.random.rand(), torch.rand(()).item()]  # noqa: NPY002
    rates = [group["lr"] for o in trainer.optimizers.values() for group in o.param_groups]
    return weights, draws + rates + [trainer.mining_funcs["tuple_miner"].calls]


@pytest.mark.parametrize("loss", LOSSES)
def test_restored_training_equals_uninterrupted_training(loss, tmp_path):
    def save(trainer):
        if trainer.epoch == 2:
            torch.save(training_state(trainer), tmp_path / "state.pt")

    whole = make(loss, save)
    whole.train(num_epochs=5)
    expected = outcome(whole)
    again = make(loss)
    torch.manual_seed(77)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    restore_training(again, state)
    again.train(start_epoch=state["epoch"] + 1, num_epochs=5)
    weights, numbers = outcome(again)
    assert all(torch.equal(a, b) for a, b in zip(weights, expected[0], strict=True))
    assert numbers == expected[1]


@pytest.mark.parametrize(
    ("loss", "forget"),
    [
        ("CrossBatchMemory", lambda s: s["attributes"]["loss_funcs"].update(metric_loss={})),
        ("Averaging", lambda s: s["attributes"]["loss_funcs"].update(metric_loss={})),
        ("ProxyAnchorLoss", lambda s: s["attributes"]["mining_funcs"].update(tuple_miner={})),
        ("ProxyAnchorLoss", lambda s: s["sampler"].update(labels=[3, 1, 2, 0])),
        ("ProxyAnchorLoss", lambda s: s["random"].update(python=random.Random(1).getstate())),
        ("ProxyAnchorLoss", lambda s: s["random"]["numpy"].__setitem__(2, 1)),
        ("ProxyAnchorLoss", lambda s: s["random"].update(torch=torch.get_rng_state())),
        ("ProxyAnchorLoss", lambda s: s.update(augmentation=torch.Generator().get_state())),
    ],
)
def test_each_part_matters(loss, forget, tmp_path):
    """The test above would notice a missing part: without it, the outcome differs."""

    def save(trainer):
        if trainer.epoch == 2:
            torch.save(training_state(trainer), tmp_path / "state.pt")

    whole = make(loss, save)
    whole.train(num_epochs=5)
    expected, _ = outcome(whole)
    again = make(loss)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    forget(state)
    restore_training(again, state)
    again.train(start_epoch=3, num_epochs=5)
    weights, _ = outcome(again)
    assert not all(torch.equal(a, b) for a, b in zip(weights, expected, strict=True))


def test_a_sampler_of_other_classes_is_refused():
    samplers = [
        ClassSampler(torch.arange(12) % n, 2, batch_size=4, steps=2, seed=0) for n in (3, 4)
    ]
    with pytest.raises(ValueError, match="has 4 classes, but the stored state belongs to 3 other"):
        samplers[1].restore(samplers[0].state())
