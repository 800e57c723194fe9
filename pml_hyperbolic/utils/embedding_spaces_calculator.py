"""EmbeddingSpacesCalculator: scores for several spaces of one embedding."""

import re
from collections.abc import Mapping, Sequence

import torch

from .embedding_space import EmbeddingSpace


class EmbeddingSpacesCalculator:
    """Scores several named spaces of one embedding, each by its own calculator.

    It takes the place of the AccuracyCalculator that PML's testers and HookContainer expect.
    Metrics are named ``<space>_<metric>``. Those of the primary space also keep their plain names,
    so that HookContainer's ``primary_metric="mean_average_precision_at_r"`` selects models by that
    space (and ``primary_metric="euclidean_precision_at_1"`` by another).

    Args:
        spaces: name -> :class:`EmbeddingSpace`. Names become parts of SQL columns: they consist of
            letters, digits and underscores, and do not start with a digit.
        primary: name of the primary space. Default "hyperbolic" if there is one, else the first.

    Raises:
        ValueError: no spaces, an invalid name, an unknown primary; at call time, a space that lies
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
                    f"the name of a space must consist of letters, digits and underscores and not "
                    f"start with a digit (it becomes part of an SQL column), got {name!r}"
                )
        if primary is None:
            primary = "hyperbolic" if "hyperbolic" in spaces else next(iter(spaces))
        if primary not in spaces:
            raise ValueError(f"primary must be one of {list(spaces)}, got {primary!r}")
        self._columns = {name: _as_slice(columns) for name, (columns, _) in spaces.items()}
        self.spaces = {
            name: EmbeddingSpace(self._columns[name], calculator)
            for name, (_, calculator) in spaces.items()
        }
        self.primary = primary

    def get_curr_metrics(self) -> list[str]:
        """Names of all metrics: the plain ones of the primary space, then those of each space."""
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
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> dict[str, float]:
        """The metrics of every space, for embeddings (N, D) and labels (N,).

        ``include`` and ``exclude`` are PML's, by the plain names of the metrics, for every space.
        """
        width = query.shape[1]
        for name, columns in self._columns.items():
            outside = columns.stop is not None and columns.stop > width
            if len(range(width)[columns]) == 0 or outside:
                raise ValueError(
                    f"the space {name!r} takes columns {columns.start}:{columns.stop}, "
                    f"got embeddings with {width} columns"
                )
        # Not every calculator takes them: that of PML 3 is only known to choose when it is made.
        chosen = {"include": include, "exclude": exclude}
        chosen = {argument: names for argument, names in chosen.items() if names}
        scores = {}
        for name, columns in self._columns.items():
            own = self.spaces[name].accuracy_calculator.get_accuracy(
                query[:, columns],
                query_labels,
                None if reference is None else reference[:, columns],
                reference_labels,
                ref_includes_query,
                **chosen,
            )
            if name == self.primary:
                scores.update(own)
            scores.update({f"{name}_{metric}": value for metric, value in own.items()})
        return scores

    def description(self) -> str:
        """Name and description of the primary space."""
        described = self.spaces[self.primary].accuracy_calculator.description()
        return "_".join(filter(None, [self.primary, described]))


def _as_slice(columns):
    return columns if isinstance(columns, slice) else slice(*columns)
