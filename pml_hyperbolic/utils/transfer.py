"""to_device: moves CPU tensors to an accelerator without waiting for it."""

import torch


def to_device(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """The tensor on ``device``; copied from the CPU to CUDA asynchronously, from pinned memory.

    A plain ``.to("cuda")`` from pageable memory waits until all work queued before it is done.
    """
    if torch.device(device).type == "cuda" and tensor.is_cpu:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
