"""RankZeroBatches: the batches of rank 0's sampler, on every rank."""

from collections.abc import Iterator

from torch.utils.data import BatchSampler

from .collectives import from_rank_zero, rank


class RankZeroBatches(BatchSampler):
    """Yields the batches of rank 0's sampler, so that all processes work on the same batches.

    The samplers of other ranks are never iterated, because their draws need not agree.

    Args:
        batches: the batch sampler; it must have the same length on every rank.
    """

    def __init__(self, batches: BatchSampler):
        self.batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        yield from from_rank_zero(list(self.batches) if rank() == 0 else None)

    def __len__(self) -> int:
        return len(self.batches)
