"""Schedule: the factor on every learning rate at every step."""

import math

from ..config import ScheduleConfig


class Schedule:
    """The learning rate schedule of a run.

    Args:
        config: shape, warm-up and freezing of the trunk.
        epochs: number of epochs of the run, >= 1.
        steps_per_epoch: optimization steps per epoch, >= 1.
    """

    def __init__(self, config: ScheduleConfig, epochs: int, steps_per_epoch: int):
        self.config = config
        self.steps_per_epoch = steps_per_epoch
        self.total_steps = epochs * steps_per_epoch

    def factor(self, step: int) -> float:
        """Return the factor on the learning rates of head and loss at ``step``, from 0."""
        config = self.config
        if step < config.warmup_steps:
            return (step + 1) / (config.warmup_steps + 1)
        if config.shape == "constant":
            return 1.0
        if config.shape == "step":
            # The config requires both for this shape.
            assert config.factor is not None
            assert config.every_epochs is not None
            epoch = step // self.steps_per_epoch
            return config.factor ** (epoch // config.every_epochs)
        remaining = max(self.total_steps - config.warmup_steps, 1)
        done = min((step - config.warmup_steps) / remaining, 1.0)
        return 0.5 * (1 + math.cos(math.pi * done))

    def trunk_factor(self, step: int) -> float:
        """Return the factor on the trunk's learning rate, which is 0 while the trunk is frozen."""
        if step < self.config.trunk_frozen_epochs * self.steps_per_epoch:
            return 0.0
        return self.factor(step)
