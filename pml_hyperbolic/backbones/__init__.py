"""Backbones of the benchmarks, by their name in a protocol.

A backbone is a class called with ``in_channels`` and the protocol's arguments; its instances have
``out_features``, ``mean`` and ``std`` (of the input it expects, pixels scaled to [0, 1]).
"""

from .identity import Identity
from .small_conv import SmallConv
from .timm_backbone import TimmBackbone

BACKBONES: dict[str, type] = {
    "small_conv": SmallConv,
    "timm": TimmBackbone,
    "identity": Identity,
}

__all__ = ["BACKBONES", "Identity", "SmallConv", "TimmBackbone"]
