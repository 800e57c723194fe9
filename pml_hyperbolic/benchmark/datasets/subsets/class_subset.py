"""ClassSubset: the samples of some classes of a data set."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from ..labelled_data import LabelledData


class ClassSubset(torch.utils.data.Dataset, ABC):
    """One split of a data set, as PML's trainers and testers take it.

    Args:
        data: the whole data set.
        classes: the classes of this split. They are numbered from 0 in this order; labels of
            coarser levels stay those of the data set.

    Attributes:
        indices: (n,) int64, indices of the samples in the data set.
        labels: (n, L) int64, from the finest level to the coarsest.
        generator: source of the random numbers of augmentation. It is on the CPU whatever the
            device is, and separate from torch's global generator, which losses draw from too.

    Raises:
        ValueError: the data set does not have one of the classes.
    """

    def __init__(self, data: LabelledData, classes: Sequence[int]):
        self.indices = data.indices_of(classes)
        self.labels = data.labels[self.indices].copy()
        position = {label: rank for rank, label in enumerate(classes)}
        self.labels[:, 0] = [position[label] for label in self.labels[:, 0]]
        self.generator = torch.Generator()

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, labels = self.__getitems__([item])
        return inputs[0], labels[0]

    def __getitems__(self, items: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a whole batch; DataLoader calls this if ``collate_fn`` is ``keep_batch``.

        The network's input is on its device already; the (B, L) labels stay on the CPU, where
        PML's trainers and testers expect them.
        """
        return self.share(items, slice(None))

    def share(self, items: list[int], part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Return some rows of the batch ``items``; random numbers are drawn for the whole batch."""
        return self.inputs(self.indices[items], part), torch.from_numpy(self.labels[items][part])

    @abstractmethod
    def inputs(self, indices: np.ndarray, part: slice) -> torch.Tensor:
        """Return the network's input for some rows of the batch with these data set indices."""


def keep_batch(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a batch as it is: the ``collate_fn`` of data sets that return whole batches."""
    return batch
