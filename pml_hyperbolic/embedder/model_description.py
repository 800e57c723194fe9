"""ModelDescription: all that is needed to build a trained model, and where it comes from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch

from ..backbones import BACKBONES
from ..errors import InputError, message_of, nearest
from ..heads import HyperbolicEmbedder, TwoSpaceEmbedder
from .preprocessing import Preprocessing
from .space_layout import SpaceLayout

# They name where a backbone's first weights came from, and the trained ones replace those.
_ORIGIN = ("pretrained", "weights")


@dataclass(frozen=True)
class ModelDescription:
    """A model as plain data.

    Args:
        backbone: its name and arguments, ``{name: {argument: value}}``, without those that say
            where its first weights came from.
        origin: where those came from, in words.
        layout: the spaces of the embedding.
        preprocessing: of images; its channels are the features' dimension where the backbone takes
            precomputed features.
        batch_size: number of images that the run embedded at a time.
        run: the run that trained the model, as plain data.
        scores: of the run and of the benchmark around it, as plain data.
        layer_norm: whether the head begins with a LayerNorm. Default True.
    """

    backbone: Mapping[str, Mapping[str, Any]]
    origin: str
    layout: SpaceLayout
    preprocessing: Preprocessing
    batch_size: int
    run: Mapping[str, Any]
    scores: Mapping[str, Any]
    layer_norm: bool = True

    @property
    def takes_features(self) -> bool:
        """Whether the model embeds precomputed features instead of images."""
        return "identity" in self.backbone

    def build(self) -> tuple[torch.nn.Module, torch.nn.Module]:
        """Build trunk and head with weights to be replaced, without a network connection.

        Torch's random numbers go on afterwards as if nothing had been built.

        Raises:
            InputError: an unknown backbone, or one that refuses its arguments.
        """
        with torch.random.fork_rng(devices=[]):
            trunk = build_backbone(self.backbone, self.preprocessing.channels)
            features, sizes = cast(int, trunk.out_features), list(self.layout.sizes.values())
            head: torch.nn.Module
            if len(sizes) == 1:
                head = HyperbolicEmbedder(features, *sizes, layer_norm=self.layer_norm)
            else:
                head = TwoSpaceEmbedder(features, *sizes, layer_norm=self.layer_norm)
        return trunk, head

    def to_json(self) -> dict[str, Any]:
        """Return the plain data that :meth:`from_json` reads."""
        return {
            "architecture": {
                "backbone": {name: dict(given) for name, given in self.backbone.items()},
                "weights": self.origin,
                "spaces": dict(self.layout.sizes),
                # Models of before all have it.
                **({} if self.layer_norm else {"layer_norm": False}),
            },
            "preprocessing": asdict(self.preprocessing),
            "geometry": self.layout.geometry,
            "batch_size": self.batch_size,
            "run": self.run,
            "scores": self.scores,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ModelDescription":
        """Build the description that :meth:`to_json` gave.

        Raises:
            InputError: a part is missing or is not what it should be.
        """
        architecture = _part(content, "architecture", dict)
        backbone = _part(architecture, "backbone", dict)
        for name, arguments in backbone.items():
            if not isinstance(arguments, dict) or set(arguments) & set(_ORIGIN):
                raise InputError(f"architecture.backbone.{name} must be arguments without weights")
        preprocessing = _part(content, "preprocessing", dict)
        batch_size = _part(content, "batch_size", int)
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        geometry = content.get("geometry")
        if not isinstance(geometry, (dict, type(None))):
            raise InputError(f"geometry must be an object or null, got {geometry!r}")
        try:
            preprocessing = Preprocessing(**preprocessing)
        except TypeError as error:
            raise InputError(f"preprocessing: {error}") from error
        return cls(
            backbone,
            _part(architecture, "weights", str),
            SpaceLayout(_part(architecture, "spaces", dict), geometry),
            preprocessing,
            batch_size,
            _part(content, "run", dict),
            _part(content, "scores", dict),
            _part({"layer_norm": True, **architecture}, "layer_norm", bool),
        )


def build_backbone(backbone: Mapping[str, Mapping[str, Any]], in_channels: int) -> torch.nn.Module:
    """Build a backbone by its name, without loading any published weights.

    Args:
        backbone: ``{name: {argument: value}}``.
        in_channels: channels of the images, or dimension of precomputed features.

    Raises:
        InputError: an unknown name, or the backbone refuses its arguments.
    """
    name, arguments = next(iter(backbone.items()), (None, {}))
    if len(backbone) != 1 or name not in BACKBONES:
        raise InputError(f"no backbone {name!r}: {nearest(str(name), BACKBONES)}")
    try:
        return BACKBONES[name](in_channels=in_channels, **without_origin(arguments))
    # timm's constructors raise exceptions of many kinds for arguments they do not like.
    except (
        AssertionError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        reason = message_of(error)
        raise InputError(f"the backbone {name} cannot be built here: {reason}") from error


def without_origin(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a backbone's arguments without those that say where its first weights come from."""
    return {key: value for key, value in arguments.items() if key not in _ORIGIN}


def _part(content, key, kind):
    value = content.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{key} must be {_KINDS[kind]}, got {value!r}")
    return value


_KINDS = {dict: "an object", int: "a whole number", str: "text", bool: "true or false"}
