"""Whether a computation may depend on values of tensors without slowing the device down."""

import torch


def reading_waits(device: torch.device) -> bool:
    """Whether reading a value of a tensor waits for all work queued on its device.

    It does on every accelerator. There, computations use shapes that do not depend on the data,
    and masks; on the CPU, looking at the data saves work.
    """
    return device.type != "cpu"
