"""Dispatched: counts the operations that a piece of code makes torch do, instead of timing it."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# Operations whose result, or its shape, is known only when the device has finished its work.
READS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal"}


class Dispatched(TorchDispatchMode):
    """Remembers the number and names of operations, and the largest tensor any of them made."""

    def __init__(self):
        super().__init__()
        self.operations = 0
        self.names: set[str] = set()
        self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.operations += 1
        self.names.add(function._schema.name)
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if torch.is_tensor(tensor):
                self.largest = max(self.largest, tensor.numel())
        return result
