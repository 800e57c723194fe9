"""FrozenTrunk: a trunk that is not trained, and its features of every image."""

import importlib.metadata
from functools import cached_property

import numpy as np
import torch
import tqdm

from ...backbones import Backbone, weights_hash
from ...images import DecodedImages, ImageTransform, cached_features
from ..config import ProtocolConfig
from .models import build_trunk, check_trunk, input_size
from .seeding import seed_everything

# Random weights, if the backbone has no others, are the same whatever the seed of a run is.
_SEED = 0
# Images at a time on a CPU, whose caches hold the activations of few: 59 ms an image at 128, 43 to
# 50 at 8 to 32 (tf_efficientnet_lite0 at 224 pixels, one thread of a busy machine).
_CPU_BATCH = 32


class FrozenTrunk:
    """The trunk of a protocol with ``trunk: frozen``, shared by all methods, folds and seeds.

    Args:
        protocol: of the benchmark.
        images: all decoded images of its data set.
        fingerprint: of the data.
        device: to compute the features on.

    Attributes:
        trunk: the backbone in evaluation mode, on the device.

    Raises:
        InputError: the backbone cannot be built or does not take these images.
    """

    def __init__(
        self,
        protocol: ProtocolConfig,
        images: DecodedImages,
        fingerprint: str,
        device: torch.device,
    ):
        self._protocol = protocol
        self._images = images
        self._fingerprint = fingerprint
        self._device = device
        seed_everything(_SEED)
        trunk = build_trunk(protocol.backbone, images.channels, device)
        self.trunk: Backbone = trunk.eval().requires_grad_(False)
        self._transform = ImageTransform(
            trunk.mean, trunk.std, input_size=input_size(protocol.image), device=device
        )
        check_trunk(self.trunk, protocol.backbone, self._inputs(np.arange(1)))

    @cached_property
    def hash(self) -> str:
        """Hash of the weights, 64 hexadecimal digits."""
        return weights_hash(self.trunk.state_dict())

    @cached_property
    def features(self) -> np.ndarray:
        """(N, D) float32 features of all images in the order of the data set, not augmented.

        They are read from the cache folder if they were computed before: for the same images,
        backbone, weights, size of the images, kind of device and versions of torch and timm.

        Raises:
            InputError: the cache folder cannot be written to.
        """
        protocol = self._protocol
        (data,) = protocol.data
        ((name, arguments),) = protocol.backbone.items()
        image = protocol.image
        return cached_features(
            self._computed,
            name=data,
            identity={
                "data": self._fingerprint,
                "images": self._images.key,
                "backbone": {
                    name: {key: value for key, value in arguments.items() if key != "weights"}
                },
                "weights": self.hash,
                "image": None if image is None else image.model_dump(),
                "device": self._device.type,
                "versions": [importlib.metadata.version(p) for p in ("torch", "timm")],
            },
            shape=(len(self._images), self.trunk.out_features),
        )

    @torch.no_grad()
    def _computed(self):
        parts = []
        everything = np.arange(len(self._images))
        # As evaluation, in float32 whatever the precision of the training.
        batch = self._protocol.evaluation.batch_size
        if self._device.type == "cpu":
            batch = min(batch, _CPU_BATCH)
        with tqdm.tqdm(
            total=len(everything), desc="features of the frozen trunk", disable=None, delay=2
        ) as bar:
            for start in range(0, len(everything), batch):
                part = everything[start : start + batch]
                parts.append(self.trunk(self._inputs(part)).float().cpu().numpy())
                bar.update(len(part))
        return np.concatenate(parts)

    def _inputs(self, indices):
        draws = self._transform.draw(self._images.sizes[indices], torch.Generator())
        return self._transform(self._images.batch(indices, self._device), draws)
