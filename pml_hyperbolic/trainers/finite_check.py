"""FiniteCheck: detects divergence without synchronising CUDA at every step."""

import torch


class NonFiniteError(RuntimeError):
    """Training produced a NaN or infinite value."""


class FiniteCheck:
    """Records the first step at which a named tensor was not finite.

    CPU tensors are checked at once. For tensors on an accelerator, the step number stays there
    until :meth:`first_bad` fetches it: that synchronises once per call, :meth:`update` never does.
    """

    def __init__(self) -> None:
        self._first_bad: dict[str, torch.Tensor] = {}

    def update(self, name: str, values: torch.Tensor, step: int) -> bool:
        """Record whether ``values`` are finite at ``step``.

        Returns:
            False if they are known not to be finite (on the CPU only), else True.
        """
        finite = torch.isfinite(values.detach()).all()
        first = self._first_bad.get(name)
        if first is None:
            first = torch.full((), -1, dtype=torch.long, device=values.device)
        self._first_bad[name] = first.masked_fill(~finite & (first < 0), step)
        return values.device.type != "cpu" or bool(finite)

    def first_bad(self) -> tuple[str, int] | None:
        """The first (name, step) that was not finite, or None. Synchronises the device."""
        found = [(int(step), name) for name, step in self._first_bad.items()]
        found = [pair for pair in found if pair[0] >= 0]
        if not found:
            return None
        # Dictionaries keep their order: within one step, the tensor checked first is the cause.
        step, name = min(found, key=lambda pair: pair[0])
        return name, step
