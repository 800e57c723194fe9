"""ImageSubset: one split of a data set, as PML's trainers and testers take it."""

from collections.abc import Sequence

import torch

from .image_data import ImageData


class ImageSubset(torch.utils.data.Dataset):
    """The images of some classes, with labels from 0 in the order of ``classes``.

    Args:
        data: the whole data set.
        classes: which classes.
        mean, std: of the backbone's input, one number a channel or one for all.
        random_shift: training images are shifted by up to so many pixels in each direction, the
            border repeated. Default 0.
        generator: what the shifts are drawn from. Default: torch's global one, which losses draw
            from too.

    Items: ((channels, height, width) float32 image, (L,) int64 labels). Coarser labels are the
    data set's own.

    Raises:
        ValueError: a class that the data set does not have.
    """

    def __init__(
        self,
        data: ImageData,
        classes: Sequence[int],
        *,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        random_shift: int = 0,
        generator: torch.Generator | None = None,
    ):
        self.data = data
        self.indices = data.indices_of(classes)
        self.mean = torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1, 1)
        self.std = torch.as_tensor(std, dtype=torch.float32).reshape(-1, 1, 1)
        self.random_shift = random_shift
        self.generator = generator
        self.labels = data.labels[self.indices].copy()
        position = {label: rank for rank, label in enumerate(classes)}
        self.labels[:, 0] = [position[label] for label in self.labels[:, 0]]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = self.__getitems__([item])
        return images[0], labels[0]

    def __getitems__(self, items: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """A whole batch at once: DataLoader calls this, with :func:`keep_batch` as collate_fn."""
        images = torch.from_numpy(self.data.images(self.indices[items])).float().div_(255)
        images = (images - self.mean) / self.std
        if self.random_shift:
            images = _shifted(images, self.random_shift, self.generator)
        return images, torch.from_numpy(self.labels[items])


def keep_batch(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """A collate_fn for datasets that return whole batches."""
    return batch


def _shifted(images, reach, generator):
    height, width = images.shape[-2:]
    padded = torch.nn.functional.pad(images, (reach,) * 4, mode="replicate")
    offsets = torch.randint(0, 2 * reach + 1, (2, len(images), 1), generator=generator)
    rows = (offsets[0] + torch.arange(height))[:, None, :, None]
    columns = (offsets[1] + torch.arange(width))[:, None, None, :]
    channels = torch.arange(images.shape[1])[None, :, None, None]
    return padded[torch.arange(len(images))[:, None, None, None], channels, rows, columns]
