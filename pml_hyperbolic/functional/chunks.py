"""Pieces of a long computation, each small enough to stay in the cache of a CPU core."""

import torch

# Entries of a chunk. A CPU core keeps 2**18 float32 numbers in its cache; an accelerator needs
# far more to be busy, and launches fewer kernels.
_ENTRIES_CPU = 2**18
_ENTRIES_ACCELERATOR = 2**24
_TILE_ON_ACCELERATORS = 2**26


def chunks(rows: int, width: int, device: torch.device) -> list[slice]:
    """Slices that cover ``rows`` rows of ``width`` entries each, to be worked on in turn."""
    entries = _ENTRIES_CPU if device.type == "cpu" else _ENTRIES_ACCELERATOR
    step = max(1, entries // max(1, width))
    return [slice(start, start + step) for start in range(0, rows, step)]


def tiles(rows: int, width: int, entries: int, device: torch.device) -> list[slice]:
    """Slices of the rows of a (rows, width) matrix, of ``entries`` entries each on the CPU.

    A compiler gets one slice of all rows, and chooses its own tiles.
    """
    if torch.compiler.is_compiling():
        return [slice(0, rows)]
    step = max(1, (entries if device.type == "cpu" else _TILE_ON_ACCELERATORS) // max(1, width))
    return [slice(start, start + step) for start in range(0, rows, step)]
