"""Moving tensors to a device."""

import pytest
import torch

from pml_hyperbolic.utils.transfer import to_device


def test_the_cpu_keeps_its_own():
    tensor = torch.arange(3)
    assert to_device(tensor, torch.device("cpu")) is tensor
    assert to_device(tensor, "cpu") is tensor


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gets_a_copy_without_waiting():
    tensor = torch.arange(3)
    torch.cuda.set_sync_debug_mode("error")
    try:
        moved = to_device(tensor, torch.device("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert moved.is_cuda
    assert moved.tolist() == [0, 1, 2]
