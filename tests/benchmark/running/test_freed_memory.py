import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from pml_hyperbolic.benchmark.running.freed_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        [torch.ones(2**21) for _ in range(16)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults(), keep_freed_memory(), faults() and faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_memory_is_not_faulted_in_again():
    # Without this, glibc adapts its threshold, and by chance it might return no memory at all.
    fixed = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**17)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=fixed, capture_output=True, text=True, check=True
    )
    before, taken, after = done.stdout.split()
    assert taken == "True"
    assert int(before) > 10 * int(after)
