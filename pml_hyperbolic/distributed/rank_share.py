"""RankShare: one process's part of every batch of a dataset."""

from typing import Any

import torch

from .collectives import rank, world_size


class RankShare(torch.utils.data.Dataset):
    """Loads of every batch the rows of this process alone: its contiguous part, in rank order.

    The parts of a batch that the number of processes does not divide differ in size by one.

    A dataset whose batches need random numbers has a method ``share(items, part)``: the rows
    ``part``, a slice, of the batch ``items``, with the numbers drawn as for all of it. Without
    one, whatever the dataset draws is drawn for these rows alone.

    Args:
        dataset: any map-style dataset.

    Raises:
        ValueError: from loading, where a batch has fewer rows than there are processes.
    """

    def __init__(self, dataset: torch.utils.data.Dataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, items: list[int]) -> Any:
        """This process's rows of the batch ``items``: DataLoader calls this."""
        count = world_size()
        if len(items) < count:
            raise ValueError(
                f"a batch of {len(items)} cannot be shared by {count} processes: take a larger "
                f"batch or fewer processes"
            )
        part = slice(len(items) * rank() // count, len(items) * (rank() + 1) // count)
        if hasattr(self.dataset, "share"):
            return self.dataset.share(items, part)
        if hasattr(self.dataset, "__getitems__"):
            return self.dataset.__getitems__(items[part])
        return [self.dataset[item] for item in items[part]]
