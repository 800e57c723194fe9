"""Hash the weights of a network."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch


def weights_hash(weights: Mapping[str, torch.Tensor]) -> str:
    """Return 64 hexadecimal digits of weights, independent of their order and their device.

    Args:
        weights: by name, as ``state_dict`` gives them.
    """
    digest = hashlib.sha256()
    add_weights(digest, weights)
    return digest.hexdigest()


def add_weights(digest: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Add weights, sorted by name, to a digest of hashlib."""
    for name, tensor in sorted(weights.items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
