"""ClassSubset: the items of some classes of a data set."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from .image_data import ImageData


class ClassSubset(torch.utils.data.Dataset, ABC):
    """One split of a data set, as PML's trainers and testers take it.

    Args:
        data: the whole data set.
        classes: which classes; labels count from 0 in their order. Coarser labels are the data
            set's own.

    Attributes:
        indices: (n,) of the items in the data set.
        labels: (n, L) int64.
        generator: what augmentation is drawn from, on the CPU whatever the device is, and apart
            from torch's global one, which losses draw from too.

    Raises:
        ValueError: a class that the data set does not have.
    """

    def __init__(self, data: ImageData, classes: Sequence[int]):
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
        """A whole batch at once: DataLoader calls this, with ``keep_batch`` as collate_fn.

        The backbone's input lies on its device already; labels (B, L) stay on the CPU, where
        PML's trainers and testers want them.
        """
        return self.share(items, slice(None))

    def share(self, items: list[int], part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Some rows of the batch ``items``, with random numbers drawn as for all of it."""
        return self.inputs(self.indices[items], part), torch.from_numpy(self.labels[items][part])

    @abstractmethod
    def inputs(self, indices: np.ndarray, part: slice) -> torch.Tensor:
        """The backbone's input for some rows of the batch of these indices of the data set."""
