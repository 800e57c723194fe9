"""Optimizers and schedulers of one run."""

import pytest
import torch

from pml_hyperbolic.benchmark.assembly.optimization import make_optimizers, make_schedulers
from pml_hyperbolic.benchmark.assembly.schedule import Schedule
from pml_hyperbolic.benchmark.config import OptimizerConfig, Rates, ScheduleConfig
from pml_hyperbolic.errors import InputError

RATES = Rates(head_lr=0.2, trunk_lr=0.1)


@pytest.fixture
def models():
    return {"trunk": torch.nn.Linear(3, 2), "embedder": torch.nn.Linear(2, 2)}


def config(**changes):
    return OptimizerConfig(**{"trunk_lr": 0.1, "head_lr": 0.2, "weight_decay": 0.3, **changes})


def test_every_part_has_its_rate(models):
    proxies = torch.nn.Parameter(torch.zeros(2, 2))
    group = {"params": [proxies], "lr": 0.5, "weight_decay": 0.0}
    optimizers = make_optimizers(config(name="SGD"), RATES, models, [group])
    found = {
        key: (type(o), o.param_groups[0]["lr"], o.param_groups[0]["weight_decay"])
        for key, o in optimizers.items()
    }
    sgd = torch.optim.SGD
    assert found == {
        "trunk_optimizer": (sgd, 0.1, 0.3),
        "embedder_optimizer": (sgd, 0.2, 0.3),
        "metric_loss_optimizer": (sgd, 0.5, 0.0),
    }
    assert optimizers["metric_loss_optimizer"].param_groups[0]["params"] == [proxies]


def test_parts_that_do_not_train_have_no_optimizer(models):
    models["trunk"].requires_grad_(False)
    models["embedder"].bias.requires_grad_(False)
    optimizers = make_optimizers(config(), RATES, models, [])
    assert list(optimizers) == ["embedder_optimizer"]
    (group,) = optimizers["embedder_optimizer"].param_groups
    assert [p is models["embedder"].weight for p in group["params"]] == [True]


def test_unknown_arguments_are_refused(models):
    with pytest.raises(InputError, match=r"^protocol.optimizer.arguments: AdamW: .* 'betas'"):
        make_optimizers(config(arguments={"betass": [0.9, 0.99]}), RATES, models, [])


def test_the_trunk_alone_is_frozen(models):
    optimizers = make_optimizers(config(), RATES, models, [])
    schedule = Schedule(ScheduleConfig(trunk_frozen_epochs=1), epochs=2, steps_per_epoch=1)
    schedulers = make_schedulers(optimizers, schedule)
    assert {key: one.get_last_lr() for key, one in schedulers.items()} == {
        "trunk_scheduler_by_iteration": [0.0],
        "embedder_scheduler_by_iteration": [0.2],
    }
    for key, optimizer in optimizers.items():
        optimizer.step()
        schedulers[key.replace("optimizer", "scheduler_by_iteration")].step()
    assert [one.get_last_lr() for one in schedulers.values()] == [[0.1], [0.2]]


def test_a_schedule_is_not_part_of_the_saved_state(models):
    """Runs that were stopped by an earlier version are resumed from such states."""
    optimizers = make_optimizers(config(), RATES, models, [])
    schedule = Schedule(ScheduleConfig(), epochs=2, steps_per_epoch=1)
    for scheduler in make_schedulers(optimizers, schedule).values():
        assert scheduler.state_dict()["lr_lambdas"] == [{}]
