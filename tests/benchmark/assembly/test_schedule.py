"""Factors on learning rates, step by step."""

import pytest
import torch

from pml_hyperbolic.benchmark.assembly.schedule import Schedule
from pml_hyperbolic.benchmark.config import ScheduleConfig


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ({}, [1.0, 1.0, 1.0, 1.0, 1.0]),
        ({"warmup_steps": 3}, [0.25, 0.5, 0.75, 1.0, 1.0]),
        ({"shape": "cosine"}, [1.0, 0.8535533905932737, 0.5, 0.14644660940672627, 0.0]),
        ({"shape": "cosine", "warmup_steps": 2}, [1 / 3, 2 / 3, 1.0, 0.5, 0.0]),
    ],
)
def test_factors(schedule, factors):
    made = Schedule(ScheduleConfig(**schedule), epochs=2, steps_per_epoch=2)
    assert [made.factor(step) for step in range(5)] == pytest.approx(factors)
    # Unless it is frozen, the trunk has the same schedule.
    assert [made.trunk_factor(step) for step in range(5)] == pytest.approx(factors)


def test_steps_are_those_of_torch():
    config = ScheduleConfig(shape="step", every_epochs=3, factor=0.3)
    schedule = Schedule(config, epochs=7, steps_per_epoch=2)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.3)
    for epoch in range(7):
        for step in (2 * epoch, 2 * epoch + 1):
            assert schedule.factor(step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_a_frozen_trunk_has_no_learning_rate():
    schedule = Schedule(ScheduleConfig(trunk_frozen_epochs=1), epochs=2, steps_per_epoch=4)
    assert [schedule.trunk_factor(step) for step in (0, 3, 4, 7)] == [0, 0, 1, 1]
    assert [schedule.factor(step) for step in (0, 7)] == [1, 1]
