"""EmbeddingSpacesCalculator: scores for several spaces of one embedding."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator


class EmbeddingSpace(NamedTuple):
    """One space of an embedding: which columns it has and what scores it.

    Args:
        columns: a slice, or (start, stop); either end may be None.
        accuracy_calculator: a PML AccuracyCalculator; it decides the space's geometry.
    """

    columns: slice | tuple[int | None, int | None]
    accuracy_calculator: AccuracyCalculator


class EmbeddingSpacesCalculator:
    """Scores several named spaces of one embedding, each by its own calculator.

    Stands where PML's testers and HookContainer expect an AccuracyCalculator. Metrics are named
    ``<space>_<metric>``; those of the primary space also keep their plain names, so that
    HookContainer's ``primary_metric="mean_average_precision_at_r"`` selects by that space (and
    ``primary_metric="euclidean_precision_at_1"`` by another).

    Args:
        spaces: name -> :class:`EmbeddingSpace`. Names become parts of SQL columns: letters,
            digits and underscores, not starting with a digit.
        primary: name of the primary space. Default "hyperbolic" if there is one, else the first.

    Raises:
        ValueError: no spaces, a bad name, an unknown primary; at call time a space that lies
            outside the embedding.
    """

    def __init__(
        self,
        spaces: Mapping[str, EmbeddingSpace | tuple],
        primary: str | None = None,
    ):
        if not spaces:
            raise ValueError("spaces must name at least one EmbeddingSpace, got none")
        for name in spaces:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name)):
                raise ValueError(
                    f"a space's name must be letters, digits and underscores and not start with "
                    f"a digit (it becomes part of an SQL column), got {name!r}"
                )
        if primary is None:
            primary = "hyperbolic" if "hyperbolic" in spaces else next(iter(spaces))
        if primary not in spaces:
            raise ValueError(f"primary must be one of {list(spaces)}, got {primary!r}")
        self.spaces = {
            name: EmbeddingSpace(
                columns if isinstance(columns, slice) else slice(*columns), calculator
            )
            for name, (columns, calculator) in spaces.items()
        }
        self.primary = primary

    def get_curr_metrics(self) -> list[str]:
        """The names of all metrics: the primary space's plain ones, then each space's own."""
        names = self.spaces[self.primary].accuracy_calculator.get_curr_metrics()
        return names + [
            f"{name}_{metric}"
            for name, space in self.spaces.items()
            for metric in space.accuracy_calculator.get_curr_metrics()
        ]

    def get_accuracy(
        self,
        query: torch.Tensor,
        query_labels: torch.Tensor,
        reference: torch.Tensor | None = None,
        reference_labels: torch.Tensor | None = None,
        ref_includes_query: bool = False,
    ) -> dict[str, float]:
        """The metrics of every space, of embeddings (N, D) and labels (N,)."""
        for name, (columns, _) in self.spaces.items():
            width = query.shape[1]
            picked = range(width)[columns]
            outside = columns.stop is not None and columns.stop > width
            if len(picked) == 0 or outside:
                raise ValueError(
                    f"the space {name!r} takes columns {columns.start}:{columns.stop}, "
                    f"got embeddings of {width} columns"
                )
        scores = {}
        for name, (columns, calculator) in self.spaces.items():
            own = calculator.get_accuracy(
                query[:, columns],
                query_labels,
                None if reference is None else reference[:, columns],
                reference_labels,
                ref_includes_query,
            )
            if name == self.primary:
                scores.update(own)
            scores.update({f"{name}_{metric}": value for metric, value in own.items()})
        return scores

    def description(self) -> str:
        """The primary space's name and description."""
        described = self.spaces[self.primary].accuracy_calculator.description()
        return "_".join(filter(None, [self.primary, described]))
