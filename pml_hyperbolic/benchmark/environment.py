"""The environment of a run: versions, hardware, commit, command and the memory it needed."""

import contextlib
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from ..distributed.collectives import world_size
from .packages import package_versions


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return versions, hardware and commit as plain data for ``environment.json``.

    Args:
        device: that the run trains on.
    """
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "processes": world_size(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cuda": torch.version.cuda,
        "packages": package_versions(),
        "git_commit": git_commit(),
        "command": command_line(),
    }


def command_line() -> str | None:
    """Return the ``pml-hyperbolic`` command that this process carries out, None if it does not."""
    program, *arguments = sys.argv or [""]
    if Path(program).name not in ("pml-hyperbolic", "__main__.py"):
        return None
    return shlex.join(["pml-hyperbolic", *arguments])


def git_commit() -> str | None:
    """Return the commit that this code is checked out at, None if it is installed."""
    root = Path(__file__).parents[2]
    # Installed packages may lie in a folder of someone else's repository.
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def reset_peak_memory(device: torch.device) -> None:
    """Forget the most memory that was in use so far.

    Args:
        device: whose memory is measured.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    # Where the kernel does not allow it, the peak is that of the process since its start.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> float | None:
    """Return the most memory in use since the last reset in MiB, None where that is unknown.

    On a CPU this is the resident memory of the process (on Linux), on CUDA that of torch's tensors.

    Args:
        device: whose memory is measured.
    """
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return round(next(int(x.split()[1]) for x in lines if x.startswith("VmHWM:")) / 1024, 1)
    except (OSError, StopIteration, ValueError):
        return None
