"""Backbones, by the name that a protocol uses.

A backbone is constructed from ``in_channels`` and further arguments. It has ``out_features``, the
dimension of its output, and ``mean`` and ``std`` of the input it expects, with pixels scaled to
[0, 1].
"""

from .identity import Identity
from .placement import to_trunk_device
from .small_conv import SmallConv
from .timm_backbone import TimmBackbone

BACKBONES: dict[str, type] = {
    "small_conv": SmallConv,
    "timm": TimmBackbone,
    "identity": Identity,
}

__all__ = ["BACKBONES", "Identity", "SmallConv", "TimmBackbone", "to_trunk_device"]
