"""ProtocolData: the data set of a protocol, listed and decoded once for all runs."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...backbones import Backbone, Identity
from ...errors import InputError
from ...images import DecodedImages, decode_images
from ..config import ProtocolConfig
from ..datasets import DATASETS, FeatureData, ImageData
from .fold_data import FoldData
from .frozen_trunk import FrozenTrunk
from .models import build_trunk, choose_device
from .registry import from_registry


class ProtocolData:
    """The data of a protocol, shared by all methods, folds and seeds.

    The data set is read when it is first needed: an object whose data are never used costs nothing.

    Args:
        protocol: of the benchmark.
    """

    def __init__(self, protocol: ProtocolConfig):
        self.protocol = protocol
        self._folds: dict[int, FoldData] = {}

    @cached_property
    def dataset(self) -> ImageData | FeatureData:
        """The data set that the protocol names.

        Raises:
            InputError: it is unknown, does not take its arguments, or cannot be read.
        """
        return from_registry(DATASETS, "data set", self.protocol.data, "protocol.data")

    @cached_property
    def inputs(self) -> DecodedImages | FeatureData:
        """The decoded images, or the data set itself if it consists of precomputed features.

        Raises:
            InputError: an image cannot be decoded; images have several sizes, but the protocol does
                not set one; or the protocol has settings for images, but there are none.
        """
        dataset, image = self.dataset, self.protocol.image
        if isinstance(dataset, FeatureData):
            _check_no_image_settings(self.protocol)
            return dataset
        ((name, arguments),) = self.protocol.data.items()
        images = decode_images(
            dataset.image,
            len(dataset),
            name=name,
            identity={
                "spec": {name: arguments},
                "labels": hashlib.sha256(np.ascontiguousarray(dataset.labels).data).hexdigest(),
            },
            sources=_sources(arguments),
            listings=dataset.listings,
            short_side=None if image is None else image.short_side,
            interpolation="bilinear" if image is None else image.interpolation,
        )
        if image is None:
            _check_one_size(images.sizes)
        return images

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that identify the data, wherever they are stored."""
        inputs = self.inputs
        return self.dataset.fingerprint(
            inputs.features if isinstance(inputs, FeatureData) else inputs.sizes
        )

    @property
    def channels(self) -> int:
        """Channels of the images, or dimension of the features."""
        inputs = self.inputs
        return inputs.features.shape[1] if isinstance(inputs, FeatureData) else inputs.channels

    @property
    def level_names(self) -> list[str]:
        """Names of the levels of the labels, from the finest to the coarsest."""
        return list(self.dataset.level_names)

    def fold(self, number: int) -> FoldData:
        """Return the data of one fold, the same object every time.

        Args:
            number: of the fold, from 0.

        Raises:
            InputError: the protocol's splits do not fit the data set.
        """
        if number not in self._folds:
            inputs = self.frozen_trunk or self.inputs
            self._folds[number] = FoldData(self.protocol, self.dataset, inputs, number)
        return self._folds[number]

    @cached_property
    def frozen_trunk(self) -> FrozenTrunk | None:
        """The trunk of a protocol with ``trunk: frozen``, None if runs train their trunks.

        Raises:
            InputError: it cannot be built or does not take the images, or there are no images.
        """
        if self.protocol.trunk == "trained":
            return None
        images = self.inputs
        if isinstance(images, FeatureData):
            raise InputError(
                "protocol.trunk: frozen would do nothing to precomputed features: leave it out"
            )
        device = choose_device(self.protocol.device)
        return FrozenTrunk(self.protocol, images, self.fingerprint, device)

    def trunk(self, device: torch.device) -> Backbone:
        """Build the trunk of one run, from torch's random numbers as they are.

        Args:
            device: of the run.

        Returns:
            The protocol's backbone or, if it is frozen, the identity on its features.

        Raises:
            InputError: as :func:`build_trunk`.
        """
        frozen = self.frozen_trunk
        if frozen is not None:
            return Identity(frozen.trunk.out_features)
        return build_trunk(self.protocol.backbone, self.channels, device)


def _sources(arguments: Mapping[str, Any]) -> list[Path]:
    """Return the arguments of a data set that are files or folders."""
    paths = [Path(v).expanduser() for _, v in sorted(arguments.items()) if isinstance(v, str)]
    return [path for path in paths if path.exists()]


def _check_no_image_settings(protocol):
    chosen = [
        f"protocol.{key}"
        for key in ("image", "augmentation")
        if getattr(protocol, key) != type(protocol).model_fields[key].default
    ]
    if chosen:
        raise InputError(
            f"{' and '.join(chosen)} would do nothing to precomputed features: leave "
            f"{'it' if len(chosen) == 1 else 'them'} out"
        )


def _check_one_size(sizes):
    """Refuse images of several sizes, which cannot be stacked to a batch."""
    if (sizes != sizes[0]).any():
        (_, low, narrow), (_, high, wide) = sizes.min(0), sizes.max(0)
        raise InputError(
            f"images have several sizes, heights from {low} to {high} and widths from {narrow} to "
            f"{wide}: set protocol.image.size to resize them to one size"
        )
