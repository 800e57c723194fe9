"""Backbones, by the name that a protocol uses.

A backbone is constructed from ``in_channels`` and further arguments.
"""

from .backbone import Backbone
from .identity import Identity
from .placement import to_trunk_device
from .small_conv import SmallConv
from .timm_backbone import TimmBackbone

BACKBONES: dict[str, type[Backbone]] = {
    "small_conv": SmallConv,
    "timm": TimmBackbone,
    "identity": Identity,
}

__all__ = ["BACKBONES", "Backbone", "Identity", "SmallConv", "TimmBackbone", "to_trunk_device"]
