"""ProductPrecisions: notes the precision that is set while float32 matrices are multiplied."""

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = {"aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm", "aten::mv"}


class ProductPrecisions(TorchDispatchMode):
    """Collects the settings of float32 products, one entry a product."""

    def __init__(self):
        super().__init__()
        self.found: list[dict[str, str]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function._schema.name in PRODUCTS:
            self.found.append(matmul_precisions())
        return function(*args, **(kwargs or {}))

    @property
    def all_full(self) -> bool:
        """Whether there were products, and all of them in full float32."""
        return bool(self.found) and all(
            precision in ("highest", "ieee", "none")
            for settings in self.found
            for precision in settings.values()
        )


def matmul_precisions() -> dict[str, str]:
    """The precision of float32 products under each of torch's names for it."""
    settings = {
        f"{name}.matmul": backend.matmul.fp32_precision
        for name, backend in (("cuda", torch.backends.cuda), ("mkldnn", torch.backends.mkldnn))
        if hasattr(getattr(backend, "matmul", None), "fp32_precision")
    }
    # Where torch's older and newer settings differ, reading the older one is an error.
    with contextlib.suppress(RuntimeError):
        settings["general"] = torch.get_float32_matmul_precision()
    return settings
