"""SmallConv: a convolutional network for tiny images that trains from scratch in seconds."""

import torch

from .backbone import Backbone


class SmallConv(Backbone, torch.nn.Sequential):
    """Blocks of a 3 x 3 convolution, batch norm and ReLU, with max pooling between the blocks.

    Args:
        in_channels: channels of the images.
        width: channels of the first block, >= 1; each further block has twice as many. Default 32.
        blocks: number of blocks, >= 1. Default 2.
        pool: the output of the last block is averaged over a grid of pool x pool cells, >= 1.
            Default 1.

    Shapes: (N, in_channels, H, W) -> (N, out_features) with out_features = width 2^(blocks - 1)
    pool^2.

    Raises:
        ValueError: width, blocks or pool is below 1.
    """

    mean = 0.5
    std = 0.5

    def __init__(self, in_channels: int, width: int = 32, blocks: int = 2, pool: int = 1):
        if min(width, blocks, pool) < 1:
            raise ValueError(
                f"width, blocks and pool must be at least 1, got {width}, {blocks} and {pool}: "
                f"raise those below"
            )
        layers: list[torch.nn.Module] = []
        channels = in_channels
        for block in range(blocks):
            if block:
                layers.append(torch.nn.MaxPool2d(2))
            wide = width * 2**block
            layers += [
                torch.nn.Conv2d(channels, wide, 3, padding=1, bias=False),
                torch.nn.BatchNorm2d(wide),
                torch.nn.ReLU(inplace=True),
            ]
            channels = wide
        super().__init__(*layers, torch.nn.AdaptiveAvgPool2d(pool), torch.nn.Flatten())
        self.out_features = channels * pool**2
