"""DecodedImages: every image of a data set, decoded once."""

import hashlib
from functools import cached_property

import numpy as np
import torch


class DecodedImages:
    """All images of a data set as consecutive bytes, in memory or mapped from a file.

    Args:
        pixels: (total,) uint8, the pixels of all images.
        sizes: (N, 3) int64, channels, height and width of each image.
        key: text that no other images have, such as the name of their cache entry. Default: a
            hash of the pixels.
    """

    def __init__(self, pixels: np.ndarray, sizes: np.ndarray, key: str | None = None):
        self.pixels = pixels
        self.sizes = sizes
        self._key = key
        self.offsets = np.concatenate([[0], sizes.prod(1).cumsum()])

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def key(self) -> str:
        """Text that no other images have, for caches of what is computed from these."""
        if self._key is not None:
            return self._key
        digest = hashlib.sha256(np.ascontiguousarray(self.sizes).data)
        digest.update(np.ascontiguousarray(self.pixels).data)
        return digest.hexdigest()

    @property
    def channels(self) -> int:
        """Number of channels, the same for every image."""
        return int(self.sizes[0, 0])

    def image(self, index: int) -> np.ndarray:
        """Return one image, (channels, height, width) uint8, which must not be written to."""
        part = self.pixels[self.offsets[index] : self.offsets[index + 1]]
        return part.reshape(self.sizes[index])

    def batch(
        self, indices: np.ndarray, device: torch.device | str = "cpu"
    ) -> torch.Tensor | list[torch.Tensor]:
        """Copy the images of these (B,) indices to a device in one transfer, asynchronously.

        Returns:
            (B, channels, height, width) uint8 if they have one size, otherwise a list of
            (channels, height, width) tensors.
        """
        device, sizes = torch.device(device), self.sizes[indices]
        lengths = sizes.prod(1)
        buffer = torch.empty(
            int(lengths.sum()), dtype=torch.uint8, pin_memory=device.type == "cuda"
        )
        np.concatenate(
            [self.pixels[self.offsets[i] : self.offsets[i + 1]] for i in indices],
            out=buffer.numpy(),
        )
        buffer = buffer.to(device, non_blocking=True)
        if (sizes == sizes[0]).all():
            return buffer.view(len(indices), *sizes[0].tolist())
        return [
            part.view(size)
            for part, size in zip(buffer.split(lengths.tolist()), sizes.tolist(), strict=True)
        ]
