"""BenchmarkConfig: a protocol, the methods compared under it, and published numbers."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ...errors import nearest
from ..results.metric_names import metric_key
from .method import MethodConfig
from .optimization import RATES
from .protocol import ProtocolConfig
from .search_range import SearchRange
from .strict_model import NAME_PATTERN, Count, StrictModel


class PublishedConfig(StrictModel):
    """A published number, which reports show beside the measured one.

    With an ``embedding_size`` or a ``backbone`` it belongs to benchmarks of that protocol only, so
    that one file can hold the numbers of several.
    """

    method: str
    space: Literal["euclidean", "hyperbolic"] | None = None
    # As in tables (R@1, R-Precision, MAP@R, R@10, ...) or as in rows.
    metric: str
    # In percent, as papers print it.
    value: Annotated[float, Field(ge=0, le=100)]
    source: Annotated[str, Field(min_length=1)]
    embedding_size: Count | None = None
    # The name of the backbone or, of a timm backbone, its model.
    backbone: str | None = None

    @model_validator(mode="after")
    def _known_metric(self):
        if metric_key(self.metric) is None:
            raise ValueError(
                f"unknown metric {self.metric!r}, expected R@1, R@K, R-Precision or MAP@R: choose "
                f"one of these"
            )
        return self

    def matches(self, protocol: ProtocolConfig) -> bool:
        """Whether the number was measured with the protocol's embedding size and backbone."""
        ((name, arguments),) = protocol.backbone.items()
        return self.embedding_size in (None, protocol.embedding_size) and self.backbone in (
            None,
            name,
            arguments.get("model"),
        )


class BenchmarkConfig(StrictModel):
    """A benchmark: its name, its protocol, and its methods by name."""

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    protocol: ProtocolConfig
    methods: Annotated[dict[str, MethodConfig], Field(min_length=1)]
    # Adds the flat twin of each hyperbolic method: see curvature_control.py.
    curvature_control: bool = False
    # Whether runs keep embeddings of a sample at a few epochs, for figures: see
    # assembly/snapshot_plan.py. Their numbers are the same either way.
    keep_snapshots: bool = True
    # The method that reports compare the others with. Default: the first Euclidean method.
    baseline: str | None = None
    published: list[PublishedConfig] = Field(default_factory=list)

    def search_space(self, method: str) -> dict[str, SearchRange]:
        """Return what a search varies: the tuned rates of the protocol, and the method's own.

        Args:
            method: its name.
        """
        return {**self.protocol.optimizer.tuned_ranges, **self.methods[method].search}

    @model_validator(mode="after")
    def _methods_state_the_tuned_rates(self):
        tuned = self.protocol.optimizer.tuned_ranges
        for name, method in self.methods.items():
            for key in RATES:
                given, place = getattr(method, key), f"protocol.optimizer.{key}"
                if key in tuned and given is None:
                    raise ValueError(
                        f"methods: {name} needs a {key} of its own, because {place} is tuned: add "
                        f"it to its file as a start and run `pml-hyperbolic search`"
                    )
                if key not in tuned and given is not None:
                    raise ValueError(
                        f"methods: {name}: {key!r} is a protocol key, the same for all methods at "
                        f"{place} ({getattr(self.protocol.optimizer, key)}): leave it out, or set "
                        f"{place} to tuned"
                    )
        return self

    @model_validator(mode="after")
    def _baseline_is_a_method(self):
        if self.baseline is not None and self.baseline not in self.methods:
            raise ValueError(
                f"baseline {self.baseline!r} is none of the methods: "
                f"{nearest(self.baseline, self.methods)} (baseline=null: the first Euclidean one)"
            )
        return self
