"""Optimization: the optimizer and the learning rate schedule that all methods share."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .strict_model import Count, NotNegative, Positive, StrictModel


class OptimizerConfig(StrictModel):
    """An optimizer of torch.optim for the trunk, the head and the loss's own parameters.

    The learning rate of the loss's own parameters belongs to the method, everything else to the
    protocol.
    """

    name: Literal["AdamW", "Adam", "SGD"] = "AdamW"
    # None with `trunk: frozen` only.
    trunk_lr: Positive | None = None
    head_lr: Positive
    weight_decay: NotNegative = 0.0
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _arguments_have_no_other_home(self):
        homes = {
            "lr": "trunk_lr and head_lr (a method's loss_lr for its loss)",
            "weight_decay": "weight_decay",
            "params": "nowhere: the runner knows them",
        }
        for key, home in homes.items():
            if key in self.arguments:
                raise ValueError(f"{key!r} would be ignored among arguments: it belongs to {home}")
        return self


class ScheduleConfig(StrictModel):
    """A factor on every learning rate, step by step.

    ``step`` multiplies the rates by ``factor`` every ``every_epochs`` epochs. During the first
    ``trunk_frozen_epochs`` the trunk's learning rate is 0 ("warm-up" in the code of HIER and
    ProxyAnchor).
    """

    shape: Literal["constant", "cosine", "step"] = "constant"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    every_epochs: Count | None = None
    factor: Positive | None = None
    trunk_frozen_epochs: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _step_needs_its_settings(self):
        for key in ("every_epochs", "factor"):
            given = getattr(self, key) is not None
            if given != (self.shape == "step"):
                problem = "belongs to shape: step" if given else "is required by shape: step"
                raise ValueError(
                    f"{key} {problem}, for example {{shape: step, every_epochs: 5, factor: 0.5}}"
                )
        return self
