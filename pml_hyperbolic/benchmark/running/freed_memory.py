"""Freed memory: kept by the process instead of given back to the kernel."""

import ctypes

# As in glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# The largest threshold that every version of glibc takes.
_MAPPED_FROM = 2**25
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process reuse what tensors free, for good.

    glibc gives large pieces back to the kernel at once, and on a CPU the next step gets them again
    page by page: a tenth of a small network's step, more where cores are shared.

    Returns:
        Whether it took effect; without glibc nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
