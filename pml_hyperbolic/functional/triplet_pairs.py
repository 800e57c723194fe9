"""Triplets in an order in which equal pairs lie side by side, for what depends on pairs alone."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from .chunks import chunks
from .reading_waits import reading_waits


class Pairs(NamedTuple):
    """The distinct pairs (i, j) of some triplets, and which of them each triplet has.

    ``of_triplet`` is None if every triplet has a pair of its own.
    """

    i: torch.Tensor  # (U,)
    j: torch.Tensor  # (U,)
    of_triplet: torch.Tensor | None  # (rows,) long

    def spread(self, values: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """``out`` (rows, P), filled from values (U, P) of the pairs."""
        if self.of_triplet is None:
            return out.copy_(values)
        return torch.index_select(values, 0, self.of_triplet, out=out)

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """(U, P) from values (rows, P) of the triplets."""
        if self.of_triplet is None:
            return values
        return values.new_zeros(len(self.i), values.shape[1]).index_add_(0, self.of_triplet, values)


def order_by_pair(triplets: torch.Tensor, n: int) -> torch.Tensor:
    """(T,) places of triplets (3, T), below ``n``, so that equal pairs (i, j) lie side by side.

    Where finding equal pairs would wait for the device, the triplets stay where they are.
    """
    if reading_waits(triplets.device):
        return torch.arange(triplets.shape[1], device=triplets.device)
    return torch.argsort(triplets[0] * n + triplets[1])


def chunks_by_pair(
    triplets: torch.Tensor, distances: torch.Tensor, tensors: int
) -> Iterator[tuple[slice, Pairs, torch.Tensor]]:
    """Slices of triplets small enough for a core's cache, their ``Pairs``, and memory for them.

    Pairs are drawn many times each, and what depends on them alone is computed once a slice. Where
    finding equal ones would wait for the device, every triplet is taken to have a pair of its own.

    Args:
        triplets: (3, T) in the order of :func:`order_by_pair`.
        distances: (N, P), rows of which will be gathered for each triplet.
        tensors: how many (rows, P) tensors are needed. They come as one contiguous
            (tensors, rows, P), uninitialised, in the same memory for every slice: new memory would
            first have to be mapped.
    """
    width = distances.shape[1]
    memory = None
    # Most steps work on two tensors at once, for the pair's and for the triplet's ancestor.
    for part in chunks(triplets.shape[1], 2 * width, distances.device):
        i, j = triplets[:2, part]
        if memory is None:
            memory = distances.new_empty(tensors * len(i) * width)
        rows = memory[: tensors * len(i) * width].view(tensors, len(i), width)
        if reading_waits(distances.device):
            yield part, Pairs(i, j, None), rows
            continue
        key, of_triplet = torch.unique_consecutive(i * len(distances) + j, return_inverse=True)
        yield part, Pairs(key // len(distances), key % len(distances), of_triplet), rows
