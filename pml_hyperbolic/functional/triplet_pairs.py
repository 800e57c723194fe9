"""Triplets in an order in which equal pairs lie side by side, for what depends on pairs alone."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from .chunks import chunks
from .reading_waits import reading_waits


class Pairs(NamedTuple):
    """The distinct pairs (i, j) of some triplets, and which of them each triplet has.

    ``of_triplet`` is None if every triplet has a pair of its own. ``h_i`` and ``h_j`` are 1 where
    the hinge of i or j is active and 0 elsewhere, if these are asked for.
    """

    i: torch.Tensor  # (U,)
    j: torch.Tensor  # (U,)
    of_triplet: torch.Tensor | None  # (rows,) long
    h_i: torch.Tensor | None = None
    h_j: torch.Tensor | None = None

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """(rows, P) from values (U, P) of the pairs."""
        return values if self.of_triplet is None else values.index_select(0, self.of_triplet)

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """(U, P) from values (rows, P) of the triplets."""
        if self.of_triplet is None:
            return values
        return values.new_zeros(len(self.i), values.shape[1]).index_add_(0, self.of_triplet, values)


def by_pair(
    triplets: torch.Tensor, n: int, active: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor] | tuple[None, None]:
    """Sort triplets so that equal pairs, with equal hinges if these are given, lie side by side.

    Pairs are drawn many times each, and what depends on them alone is computed once a chunk. Where
    finding equal ones would wait for the device, every triplet is taken to have a pair of its own.

    Args:
        triplets: (3, T) long, below ``n``.
        n: number of points.
        active: (3, T) bool, which hinges of the triplets are active.

    Returns:
        (T,) sorted keys of the pairs, and (T,) the places of the triplets in this order, or None
        twice.
    """
    i, j, _ = triplets
    if reading_waits(triplets.device):
        return None, None
    key = torch.minimum(i, j) * n + torch.maximum(i, j)
    if active is not None:
        # The hinges of the smaller and of the larger index.
        low, high = torch.where(i <= j, active[:2], active[:2].flip(0)).long()
        key = key * 4 + low * 2 + high
    key, order = torch.sort(key)
    return key, order


def chunks_by_pair(
    key: torch.Tensor | None,
    triplets: torch.Tensor,
    distances: torch.Tensor,
    active: torch.Tensor | None = None,
) -> Iterator[tuple[slice, Pairs]]:
    """Slices of triplets in the order of :func:`by_pair`, and their ``Pairs``.

    Args:
        key: sorted keys, as by_pair returns them.
        triplets: (3, T) in the same order.
        distances: (N, P), rows of which will be gathered for each triplet.
        active: (3, T) the active hinges in the same order and in the dtype of the distances, if
            pairs are distinguished by them.
    """
    for part in chunks(triplets.shape[1], distances.shape[1], distances.device):
        if key is None:
            own = [] if active is None else list(active[:2, part].unsqueeze(2))
            i, j = triplets[:2, part]
            yield part, Pairs(i, j, None, *own)
            continue
        found, of_triplet = torch.unique_consecutive(key[part], return_inverse=True)
        hinges: list[torch.Tensor] = []
        if active is not None:
            hinges = [(found // by % 2).to(distances.dtype).unsqueeze(1) for by in (2, 1)]
            found = found // 4
        yield part, Pairs(found // len(distances), found % len(distances), of_triplet, *hinges)
