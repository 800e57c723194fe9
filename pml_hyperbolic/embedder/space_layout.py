"""SpaceLayout: which columns of an embedding belong to which space, and how each is measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity

from ..distances import PoincareDistance, PoincareSimilarity
from ..errors import InputError, nearest
from ..utils.cosine_knn import CosineKNN
from ..utils.retrieval import PoincareKNN

HYPERBOLIC = "hyperbolic"
# The head puts the spaces in this order.
_ORDER = ("euclidean", HYPERBOLIC)
_DISTANCES = {cls.__name__: cls for cls in (PoincareDistance, PoincareSimilarity)}


@dataclass(frozen=True)
class SpaceLayout:
    """The spaces of an embedding (N, D), side by side in its columns.

    Args:
        sizes: name of each space -> its dimension, in the order of the columns: "euclidean",
            "hyperbolic", or both in this order.
        geometry: what measures the hyperbolic space, ``{"PoincareDistance": {"c": 0.1, ...}}`` or
            ``{"PoincareSimilarity": {...}}``; None where there is no such space.

    Raises:
        InputError: unknown spaces, a size below 1, or a geometry that no such class takes.
    """

    sizes: Mapping[str, int]
    geometry: Mapping[str, Mapping[str, Any]] | None
    _distance: PoincareDistance | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self):
        names = list(self.sizes)
        if not names or names != [name for name in _ORDER if name in names]:
            raise InputError(
                f"the spaces of an embedding are euclidean, hyperbolic, or both in this order, "
                f"got {names}"
            )
        for name, size in self.sizes.items():
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise InputError(f"the {name} space needs a dimension of at least 1, got {size!r}")
        if (HYPERBOLIC in self.sizes) != (self.geometry is not None):
            raise InputError(
                f"a hyperbolic space and its geometry come together, got the spaces {names} and "
                f"the geometry {self.geometry!r}"
            )
        if self.geometry is not None:
            object.__setattr__(self, "_distance", _build(self.geometry))

    @property
    def dimension(self) -> int:
        """D, all spaces together."""
        return sum(self.sizes.values())

    @property
    def slices(self) -> dict[str, slice]:
        """Name of each space -> its columns."""
        slices, start = {}, 0
        for name, size in self.sizes.items():
            slices[name] = slice(start, start + size)
            start += size
        return slices

    @property
    def primary(self) -> str:
        """The space that selected the run's checkpoint: the hyperbolic one where there is one."""
        return HYPERBOLIC if HYPERBOLIC in self.sizes else next(iter(self.sizes))

    def named(self, space: str | None) -> str:
        """Return the name of a space, by default the only one.

        Raises:
            InputError: there is no such space, or there are two and none is named.
        """
        if space is None and len(self.sizes) > 1:
            raise InputError(f"this model has the spaces {' and '.join(self.sizes)}: name one")
        if space is None:
            return self.primary
        if space not in self.sizes:
            raise InputError(f"there is no space {space!r}: {nearest(str(space), self.sizes)}")
        return space

    def columns(self, embeddings: torch.Tensor, space: str | None) -> torch.Tensor:
        """Select the columns (N, size) of one space."""
        return embeddings[:, self.slices[self.named(space)]]

    def distance(self, space: str | None) -> BaseDistance:
        """Return the PML distance of a space: the run's hyperbolic one, or CosineSimilarity."""
        return self._distance if self.named(space) == HYPERBOLIC else CosineSimilarity()

    def knn(self, space: str | None, **options: bool) -> PoincareKNN | CosineKNN:
        """Return an exact nearest-neighbour search of a space, called as PML's FaissKNN.

        Args:
            space: its name. Default: the only one.
            options: ``reset_before`` and ``reset_after``, as FaissKNN takes them.
        """
        if self.named(space) == HYPERBOLIC and self._distance is not None:
            return PoincareKNN(self._distance, **options)
        return CosineKNN(**options)


def _build(geometry):
    name, arguments = next(iter(geometry.items()), (None, None))
    if len(geometry) != 1 or name not in _DISTANCES or not isinstance(arguments, Mapping):
        raise InputError(
            f"a geometry is {{PoincareDistance: {{...}}}} or {{PoincareSimilarity: {{...}}}}, "
            f"got {geometry!r}"
        )
    try:
        return _DISTANCES[name](**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"the geometry {name} does not work here: {error}") from error
