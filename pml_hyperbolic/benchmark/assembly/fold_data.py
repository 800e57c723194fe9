"""FoldData: the classes of one fold, and its queries and gallery, made once for all runs."""

from collections.abc import Sequence

import numpy as np
import torch

from ...errors import InputError
from ...images import Augmentation, DecodedImages, ImageTransform, RandomCrop
from ..config import AugmentationConfig, ProtocolConfig
from ..datasets import ClassSubset, FeatureData, FeatureSubset, ImageSubset, LabelledData
from .class_splits import class_splits
from .frozen_trunk import FrozenTrunk
from .models import input_size

# Subset -> the split whose classes it has. scored_train is not augmented, as all scored subsets.
_SUBSETS = {"train": "train", "scored_train": "train", "validation": "validation", "test": "test"}


class FoldData:
    """The splits of one fold of a protocol, shared by all methods and seeds.

    Args:
        protocol: of the benchmark.
        dataset: the labels of the whole data set.
        inputs: its decoded images, its features, or those of a frozen trunk.
        number: of the fold, from 0.

    Attributes:
        classes: training, validation and test classes.
        query: (Q,) positions of the query images among the test images.
        gallery: (G,) positions of the gallery images among the test images; None if every test
            image is searched among all others.

    Raises:
        InputError: the splits do not fit the data set, or a batch has more classes than train.
    """

    def __init__(
        self,
        protocol: ProtocolConfig,
        dataset: LabelledData,
        inputs: DecodedImages | FeatureData | FrozenTrunk,
        number: int,
    ):
        self.protocol = protocol
        self.dataset = dataset
        self.inputs = inputs
        self.classes = class_splits(protocol.splits, dataset, number)
        try:
            protocol.check_batch(len(self.classes.train))
        except ValueError as error:
            raise InputError(f"protocol, fold {number}: {error}") from None
        indices = {}
        for split in self.classes._fields:
            try:
                indices[split] = dataset.indices_of(getattr(self.classes, split))
            except ValueError as error:
                raise InputError(f"protocol.splits.{split}: {error}") from None
        self.query, self.gallery = query_and_gallery(dataset, indices["test"])

    def subsets(
        self, mean: float | Sequence[float], std: float | Sequence[float], device: torch.device
    ) -> dict[str, ClassSubset]:
        """Make the subsets of one run, with random numbers of their own.

        Args:
            mean, std: of the trunk's input; features are not normalised.
            device: of the run.

        Returns:
            ``train`` (augmented), ``scored_train`` (the same classes, not augmented),
            ``validation`` and ``test``.
        """
        return {
            name: self._subset(name, getattr(self.classes, split), mean, std, device)
            for name, split in _SUBSETS.items()
        }

    def _subset(self, name, classes, mean, std, device):
        inputs = self.inputs
        if not isinstance(inputs, DecodedImages):
            return FeatureSubset(self.dataset, classes, lambda: inputs.features, device)
        transform = ImageTransform(
            mean,
            std,
            input_size=input_size(self.protocol.image),
            augmentation=(
                _augmentation(self.protocol.augmentation) if name == "train" else Augmentation()
            ),
            device=device,
        )
        return ImageSubset(self.dataset, classes, inputs, transform)


def query_and_gallery(
    data: LabelledData, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the queries and the gallery among some samples.

    Args:
        data: the data set, which may have a query/gallery protocol of its own.
        indices: (n,) the samples.

    Returns:
        Positions of queries and gallery among ``indices``. Without a query/gallery protocol these
        are all positions and None: each sample is searched among the others.

    Raises:
        InputError: the data set has such a protocol, but there are no query or no gallery images
            among these.
    """
    if data.query is None or data.gallery is None:
        return np.arange(len(indices)), None
    query, gallery = (np.flatnonzero(mask[indices]) for mask in (data.query, data.gallery))
    if len(query) == 0 or len(gallery) == 0:
        raise InputError(
            f"protocol.splits.test: {type(data).__name__} searches its query images in its "
            f"gallery, but the test classes have {len(query)} query and {len(gallery)} gallery "
            f"images: use test: official"
        )
    return query, gallery


def _augmentation(config: AugmentationConfig) -> Augmentation:
    crop = config.random_resized_crop
    return Augmentation(
        random_crop=None
        if crop is None
        else RandomCrop((crop.scale[0], crop.scale[1]), (crop.ratio[0], crop.ratio[1])),
        random_shift=config.random_shift,
        horizontal_flip=config.horizontal_flip,
    )
