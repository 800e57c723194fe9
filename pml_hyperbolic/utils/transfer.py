"""to_device: CPU tensors on their way to an accelerator without waiting for it."""

import torch


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on ``device``; from the CPU to CUDA through pinned memory, asynchronously.

    A plain ``.to("cuda")`` of ordinary memory waits until all work queued before it is done.
    """
    if torch.device(device).type == "cuda" and tensor.is_cpu:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
