"""Backbone: the attributes that every backbone has."""

from collections.abc import Sequence

import torch


class Backbone(torch.nn.Module):
    """A network that maps images, or precomputed features, to features.

    Attributes:
        out_features: dimension of its output.
        mean, std: of the input it expects with pixels scaled to [0, 1], one number per channel or
            one for all channels.
    """

    out_features: int
    mean: float | Sequence[float]
    std: float | Sequence[float]
