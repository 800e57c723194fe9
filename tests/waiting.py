"""Notices what would make a program wait for an accelerator, on machines with or without one."""

import functools
import subprocess
import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.dispatch import READS

# Operations whose results have shapes that depend on the data, besides aten::nonzero.
SHAPED_BY_VALUES = {"aten::_unique2", "aten::masked_select", "aten::unique_dim"}


class Waits(TorchDispatchMode):
    """Collects the names of operations that read values, select by booleans or copy across devices.

    Tensors without dimensions are numbers to torch: they may cross.
    """

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function._schema.name
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if torch.is_tensor(leaf)]
        selects = name.startswith("aten::index") and any(
            leaf.dtype == torch.bool for leaf in tree_leaves(args[1:2]) if torch.is_tensor(leaf)
        )
        devices = {tensor.device.type for tensor in tensors if tensor.ndim}
        if name in READS | SHAPED_BY_VALUES or selects or len(devices) > 1:
            self.found.append(name)
        return result


# Older versions of torch end the process here if there is no GPU.
_FAKE_GPU_PROGRAM = """
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
class Same(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()
with FakeTensorMode():
    Same.apply(torch.empty(1, device="cuda", requires_grad=True))
"""


@functools.cache
def _can_fake_a_gpu():
    program = [sys.executable, "-W", "ignore", "-c", _FAKE_GPU_PROGRAM]
    return subprocess.run(program, capture_output=True, check=False).returncode == 0


def fake_gpu() -> FakeTensorMode:
    """A mode whose tensors can lie on a GPU without one; the test skips if torch is too old."""
    if not _can_fake_a_gpu():
        pytest.skip(f"torch {torch.__version__} cannot run autograd functions on fake GPU tensors")
    return FakeTensorMode()


def waits_of_a_forward_pass(make, embeddings, *arguments):
    """What a call of the module that ``make`` builds would wait for, if all of it lay on a GPU.

    Fake tensors have a device, a dtype and a shape, but no values: to need one raises
    DataDependentOutputException. There is no backward pass, for which autograd wants the GPU.
    """
    with fake_gpu() as mode:
        module = make()
        for part in module.modules():
            for name, parameter in part._parameters.items():
                part._parameters[name] = torch.nn.Parameter(
                    torch.empty(parameter.shape, dtype=parameter.dtype, device="cuda")
                )
        inputs = [
            torch.empty(x.shape, dtype=x.dtype, device="cuda", requires_grad=x.requires_grad)
            for x in (embeddings, *arguments)
        ]
        with Waits() as waits:
            loss = module(*inputs)
        assert loss.device.type == "cuda"
        assert loss.fake_mode is mode
    return waits.found
