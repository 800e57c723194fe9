"""RankZeroBatches: the batches that rank 0's sampler makes, on every rank."""

from collections.abc import Iterator

from torch.utils.data import BatchSampler

from .collectives import from_rank_zero, rank


class RankZeroBatches(BatchSampler):
    """Hands out the batches of rank 0, so that all processes work on the same ones.

    Samplers of other ranks are not asked: what they would draw need not agree.

    Args:
        batches: makes the batches; every rank has one of the same length.
    """

    def __init__(self, batches: BatchSampler):
        self.batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        yield from from_rank_zero(list(self.batches) if rank() == 0 else None)

    def __len__(self) -> int:
        return len(self.batches)
