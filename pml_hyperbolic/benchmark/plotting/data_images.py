"""DataImages: the images and class names of a benchmark's data set, if they can still be read."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ...errors import InputError
from ..assembly.protocol_data import ProtocolData
from ..config import ProtocolConfig
from ..datasets import FeatureData


class DataImages:
    """Images by their position in the data set.

    Args:
        config: content of a benchmark.yaml, or of a run's config.yaml.
        fingerprint: of the data that the runs used; None where it was not recorded.

    Raises:
        InputError: the data set is not where the config says, is another one by now, or has no
            images.
    """

    def __init__(self, config: Mapping[str, Any], fingerprint: str | None):
        try:
            protocol = ProtocolConfig.model_validate(config["protocol"])
        except (KeyError, ValueError) as error:
            raise InputError(
                f"the benchmark's protocol cannot be read ({type(error).__name__}), so that its "
                f"images cannot be shown"
            ) from None
        self._data = ProtocolData(protocol)
        if isinstance(self._data.dataset, FeatureData):
            raise InputError("the data are precomputed features, of which there are no images")
        if fingerprint is not None and self._data.fingerprint != fingerprint:
            raise InputError(
                f"the data set has changed since the runs (fingerprint {self._data.fingerprint}, "
                f"the runs used {fingerprint}), so that its images are not shown"
            )

    def __call__(self, index: int) -> np.ndarray:
        """Return an image as (H, W) or (H, W, 3) uint8.

        Args:
            index: position in the data set.
        """
        images = self._data.inputs
        assert not isinstance(images, FeatureData)  # refused before
        pixels = np.asarray(images.image(int(index)))
        return pixels[0] if len(pixels) == 1 else pixels[:3].transpose(1, 2, 0)

    @cached_property
    def class_of(self) -> np.ndarray:
        """(N,) class of every image, as the data set numbers them."""
        return self._data.dataset.labels[:, 0]

    @cached_property
    def class_names(self) -> list[str]:
        """Names by class."""
        return [str(name) for name in self._data.dataset.class_names]

    def names_of(self, labels: np.ndarray, indices: np.ndarray) -> list[dict[int, str]]:
        """Return the names of a split's labels: for each level label -> name.

        Args:
            labels: (n, L) of the images of the split, whose classes are numbered from 0 in it.
            indices: (n,) positions of the images in the data set.
        """
        superclass_names = self._data.dataset.superclass_names
        found = []
        for level, column in enumerate(np.asarray(labels).T):
            values, first = np.unique(column, return_index=True)
            if level == 0:
                own = [self.class_names[self.class_of[indices[row]]] for row in first]
            elif level <= len(superclass_names):
                own = [superclass_names[level - 1][value] for value in values]
            else:
                own = [str(value) for value in values]
            found.append(dict(zip(values.tolist(), own, strict=True)))
        return found
