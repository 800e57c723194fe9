"""Optimization: the optimizer and the learning rate schedule that all methods share."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from .search_range import SearchRange
from .strict_model import Count, NotNegative, Positive, StrictModel

TUNED = "tuned"
# The learning rates that a protocol fixes or leaves to its methods.
RATES = ("head_lr", "trunk_lr")
# pydantic names the kind of a rate in the location of an error, where users have no such key.
RATE_TAGS = ("number of a rate", "word of a rate")


def _kind_of_rate(content: Any) -> str:
    return RATE_TAGS[isinstance(content, str)]


# A rate for all methods, or "tuned": each method states its own.
Rate = Annotated[
    Annotated[Positive, Tag(RATE_TAGS[0])] | Annotated[Literal["tuned"], Tag(RATE_TAGS[1])],
    Discriminator(_kind_of_rate),
]
# Our choice. At 300 steps on frozen features the best rate of a head was between 2e-5 (in a ball)
# and 3e-3 (with cosine); both lie well inside. A trunk learns at the head's rate or more slowly.
_DEFAULT_RANGES = {
    "head_lr": SearchRange(low=5e-6, high=3e-2, log=True),
    "trunk_lr": SearchRange(low=1e-6, high=3e-3, log=True),
}


class OptimizerConfig(StrictModel):
    """An optimizer of torch.optim for the trunk, the head and the loss's own parameters.

    The learning rate of the loss's own parameters belongs to the method, everything else to the
    protocol. ``head_lr: tuned`` and ``trunk_lr: tuned`` leave these rates to the methods too,
    because the best one depends on the geometry: cosine similarity does not see the scale of the
    head, hyperbolic distances do. A search then has them among its values, in the same range for
    all methods: that of ``rate_ranges``, by default from 5e-6 to 3e-2 (trunk: 1e-6 to 3e-3).
    """

    name: Literal["AdamW", "Adam", "SGD"] = "AdamW"
    # None with `trunk: frozen` and `backbone: identity` only.
    trunk_lr: Rate | None = None
    head_lr: Rate
    # head_lr, trunk_lr -> the range in which a search looks for it.
    rate_ranges: dict[Literal["head_lr", "trunk_lr"], SearchRange] = Field(default_factory=dict)
    weight_decay: NotNegative = 0.0
    arguments: dict[str, Any] = Field(default_factory=dict)

    @property
    def tuned_ranges(self) -> dict[str, SearchRange]:
        """The rates that each method states -> the range in which a search looks for them."""
        ranges = dict(_DEFAULT_RANGES)
        for key, allowed in self.rate_ranges.items():
            ranges[key] = allowed
        return {key: ranges[key] for key in RATES if getattr(self, key) == TUNED}

    @model_validator(mode="after")
    def _ranges_are_of_tuned_rates(self):
        for key, allowed in self.rate_ranges.items():
            if getattr(self, key) != TUNED:
                raise ValueError(
                    f"rate_ranges.{key} belongs to {key}: {TUNED}, got {key}: "
                    f"{getattr(self, key)}: leave it out, or let each method have its own rate"
                )
            if allowed.choices is not None or allowed.extremes[0] <= 0:
                raise ValueError(
                    f"rate_ranges.{key} must be a range or a grid of rates greater than 0, for "
                    f"example {{low: 5e-6, high: 3e-3, log: true}}"
                )
        return self

    @model_validator(mode="after")
    def _arguments_have_no_other_home(self):
        homes = {
            "lr": "trunk_lr and head_lr (a method's loss_lr for its loss)",
            "weight_decay": "weight_decay",
            "params": "nowhere: the runner knows them",
        }
        for key, home in homes.items():
            if key in self.arguments:
                raise ValueError(
                    f"{key!r} would be ignored among arguments: leave it out, it belongs to {home}"
                )
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
