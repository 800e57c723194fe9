"""RankShare: the part of every batch that one process loads."""

from typing import Any

import torch

from .collectives import rank, world_size


class RankShare(torch.utils.data.Dataset):
    """Loads only this process's rows of every batch: a contiguous part, in rank order.

    If the number of processes does not divide the batch size, the parts differ in size by one.

    A dataset that draws random numbers for a batch can have a method ``share(items, part)``, which
    returns the rows ``part`` (a slice) of the batch ``items``, with random numbers drawn as for the
    whole batch. Without it, the dataset draws for these rows alone.

    Args:
        dataset: any map-style dataset.

    Raises:
        ValueError: when loading, if a batch has fewer rows than there are processes.
    """

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, items: list[int]) -> Any:
        """This process's rows of the batch ``items``; DataLoader calls this."""
        count = world_size()
        if len(items) < count:
            raise ValueError(
                f"a batch of {len(items)} cannot be shared by {count} processes: use a larger "
                f"batch or fewer processes"
            )
        part = slice(len(items) * rank() // count, len(items) * (rank() + 1) // count)
        if hasattr(self.dataset, "share"):
            return self.dataset.share(items, part)
        if hasattr(self.dataset, "__getitems__"):
            return self.dataset.__getitems__(items[part])
        return [self.dataset[item] for item in items[part]]
