"""FiniteCheck: notices a diverged run without synchronising CUDA at every step."""

import torch


class NonFiniteError(RuntimeError):
    """Training met a NaN or infinite value."""


class FiniteCheck:
    """Remembers the first step at which a named tensor was not finite.

    CPU tensors are judged at once. For tensors on an accelerator the step number is kept there,
    and :meth:`first_bad` fetches it: one synchronisation a call, none at :meth:`update`.
    """

    def __init__(self):
        self._first_bad: dict[str, torch.Tensor] = {}

    def update(self, name: str, values: torch.Tensor, step: int) -> bool:
        """Note whether ``values`` are finite at ``step``.

        Returns:
            False where they are known not to be (CPU only), else True.
        """
        finite = torch.isfinite(values.detach()).all()
        first = self._first_bad.get(name)
        if first is None:
            first = torch.full((), -1, dtype=torch.long, device=values.device)
        self._first_bad[name] = first.masked_fill(~finite & (first < 0), step)
        return values.device.type != "cpu" or bool(finite)

    def first_bad(self) -> tuple[str, int] | None:
        """The earliest (name, step) that was not finite, or None. Synchronises."""
        found = [(int(step), name) for name, step in self._first_bad.items()]
        found = [pair for pair in found if pair[0] >= 0]
        if not found:
            return None
        # Dictionaries keep order: of one step the tensor that was checked first is the cause.
        step, name = min(found, key=lambda pair: pair[0])
        return name, step
