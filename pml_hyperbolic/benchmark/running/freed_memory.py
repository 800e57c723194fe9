"""Freed memory: reused by the process instead of being returned to the kernel."""

import ctypes

# Constants of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# The largest threshold that every version of glibc accepts.
_LARGEST_MMAP_THRESHOLD = 2**25
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process reuse the memory of freed tensors until it ends.

    glibc returns large blocks to the kernel at once, and on a CPU the next training step gets them
    again page by page. That costs a tenth of a small network's step, more where cores are shared.

    Returns:
        Whether it took effect; without glibc, nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, _NEVER)
    )
