"""Put a backbone on a device in the memory format that is fast there."""

from typing import TypeVar

import torch

Network = TypeVar("Network", bound=torch.nn.Module)


def to_trunk_device(trunk: Network, device: torch.device) -> Network:
    """Move a backbone to its device; convolutional ones use channels_last, which is faster.

    It is enough that the weights have this format: activations keep it from the first convolution
    on. A model with a single convolution is a transformer with its patch embedding.
    """
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in trunk.modules())
    if convolutions > 1:
        trunk = trunk.to(memory_format=torch.channels_last)
    return trunk.to(device)
