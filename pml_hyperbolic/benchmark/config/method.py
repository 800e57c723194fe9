"""MethodConfig: everything in which the methods of a benchmark may differ."""

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, model_validator

from ...errors import nearest
from ...files import content_hash
from .dotted_paths import put_at, value_at, value_paths
from .optimization import RATES, OptimizerConfig
from .protocol import ProtocolConfig
from .search_range import SearchRange
from .strict_model import Count, Distinct, Finite, NotNegative, Positive, Spec, StrictModel

SPACES = ("euclidean", "hyperbolic")
# The keys that make up a method. The other keys describe it and change no number.
SETTINGS = ("loss", "regularizer", "miner", "loss_lr", "loss_weight_decay", "head", *RATES)


class Rates(NamedTuple):
    """The learning rates of the network's two parts, None for a trunk that is not trained."""

    head_lr: float
    trunk_lr: float | None


class HeadConfig(StrictModel):
    """The part of the last layers that a method chooses.

    The spaces share the protocol's embedding size equally, or each gets all of it where the
    protocol says ``equal_total_dimension: false``.
    """

    spaces: Annotated[list[Literal["euclidean", "hyperbolic"]], Field(min_length=1), Distinct] = (
        Field(default=["euclidean"])
    )
    # The typical tangent norm of a hyperbolic embedding at the start.
    initial_radius: Positive | None = None

    @model_validator(mode="after")
    def _radius_needs_a_hyperbolic_space(self):
        if self.initial_radius is not None and "hyperbolic" not in self.spaces:
            raise ValueError(
                "initial_radius is the tangent norm of a hyperbolic space: add hyperbolic to "
                "spaces, or leave initial_radius out"
            )
        return self


class RegularizerConfig(StrictModel):
    """A second term of the objective.

    A loss, such as HIERLoss, is added by PML's MultipleLosses. A regularizer becomes the first
    loss's ``embedding_regularizer`` or ``weight_regularizer``, as ``on`` says.
    """

    use: Spec
    weight: Positive = 1.0
    on: Literal["embeddings", "weights"] | None = None
    lr: Positive | None = None


class TunedConfig(StrictModel):
    """How a method's settings were found. ``search`` writes it; nothing that runs reads it."""

    metric: str
    value: Finite
    seeds: list[int]
    protocol: str
    diverged: Annotated[int, Field(ge=0)] = 0
    at_edge: list[str] = Field(default_factory=list)


class MethodConfig(StrictModel):
    """Everything in which the methods of a benchmark may differ.

    The keys from ``search`` on say how the settings were found and which differences between
    methods are intended. They change no number and are not part of the hash.
    """

    about: str = ""
    loss: Spec
    regularizer: RegularizerConfig | None = None
    miner: Spec | None = None
    loss_lr: Positive | None = None
    loss_weight_decay: NotNegative = 0.0
    head: HeadConfig = HeadConfig()
    # Only where the protocol says `tuned` in their place.
    head_lr: Positive | None = None
    trunk_lr: Positive | None = None
    # The method whose flat control this one is.
    flat_twin_of: str | None = None
    search: dict[str, SearchRange] = Field(default_factory=dict)
    search_trials: Count | None = None
    tuned: TunedConfig | None = None
    # Declares that trunk and head have more or fewer parameters than those of other methods.
    different_parameters: bool = False
    different_search_trials: bool = False

    @model_validator(mode="after")
    def _searches_its_own_settings(self):
        content = self.model_dump(include=set(SETTINGS))
        for path in self.search:
            if path in RATES:
                raise ValueError(
                    f"search: {path} is searched in the same range for all methods: leave it out "
                    f"and set protocol.optimizer.rate_ranges.{path}"
                )
            start = value_at(content, path)
            if not isinstance(start, int | float | str):
                raise ValueError(
                    f"search: {path!r} is no setting of this method with a value to start from: "
                    f"{nearest(path, value_paths(content))}"
                )
        if self.search:
            self.check_searched_rates()
        return self

    def check_searched_rates(self) -> None:
        """Refuse a search that leaves out a learning rate of the loss's own parameters.

        Raises:
            ValueError: the message gives the path of the rate.
        """
        rates = {"loss_lr": self.loss_lr}
        if self.regularizer is not None:
            rates["regularizer.lr"] = self.regularizer.lr
        for path, rate in rates.items():
            if rate is not None and path not in self.search:
                raise ValueError(
                    f"search: {path} must be among the searched settings, for example "
                    f"{path}: {{low: 1e-4, high: 10, log: true}} (an untuned learning rate of "
                    f"proxies is the commonest unfairness)"
                )

    @classmethod
    def unknown_key_message(cls, key: str) -> str:
        home = _protocol_home(key)
        if home is None:
            return super().unknown_key_message(key)
        return (
            f"{key!r} is a protocol key: it must be the same for all methods, so it belongs in "
            f"the benchmark config, at {home} (a method may set only {', '.join(SETTINGS)})"
        )

    @property
    def hash(self) -> str:
        """Twelve digits that identify these settings."""
        content = self.model_dump(include=set(SETTINGS))
        # Methods from before these keys keep their hash.
        return content_hash({k: v for k, v in content.items() if k not in RATES or v is not None})

    def rates(self, optimizer: OptimizerConfig) -> Rates:
        """Return the learning rates of head and trunk: its own where they are tuned."""
        own = {key: getattr(optimizer, key) for key in RATES}
        own |= {key: getattr(self, key) for key in optimizer.tuned_ranges}
        return Rates(**own)

    def with_values(self, values: Mapping[str, Any]) -> "MethodConfig":
        """A validated copy with other values at some paths.

        Args:
            values: path, such as ``loss.SoftTripleLoss.la``, -> value.

        Raises:
            pydantic.ValidationError: a value that the setting cannot have.
        """
        content = copy.deepcopy(self.model_dump(exclude_unset=True))
        for path, value in values.items():
            put_at(content, path, value)
        return MethodConfig.model_validate(content)


def _protocol_home(key):
    """Where in a benchmark config a key of this name belongs, None if it is no protocol key."""
    if key in ProtocolConfig.model_fields:
        return f"protocol.{key}"
    for name, field in ProtocolConfig.model_fields.items():
        for section in _sections(field.annotation):
            if key in section.model_fields:
                return f"protocol.{name}.{key}"
    return {"lr": "protocol.optimizer.trunk_lr", "optimizers": "protocol.optimizer"}.get(key)


def _sections(annotation):
    """The config sections in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, StrictModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]
