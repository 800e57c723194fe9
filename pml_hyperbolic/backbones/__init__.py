"""Backbones, by the name that a protocol uses.

A backbone is constructed from ``in_channels`` and further arguments.
"""

from .backbone import Backbone
from .identity import Identity
from .placement import to_trunk_device
from .small_conv import SmallConv
from .timm_backbone import TimmBackbone
from .weights_hash import add_weights, weights_hash

BACKBONES: dict[str, type[Backbone]] = {
    "small_conv": SmallConv,
    "timm": TimmBackbone,
    "identity": Identity,
}

__all__ = [
    "BACKBONES",
    "Backbone",
    "Identity",
    "SmallConv",
    "TimmBackbone",
    "add_weights",
    "to_trunk_device",
    "weights_hash",
]
