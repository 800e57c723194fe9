"""What a run ran on: versions, hardware, commit."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

from ..distributed.collectives import world_size

# What the extra `benchmark` installs.
BENCHMARK_PACKAGES = (
    "timm",
    "torchvision",
    "record-keeper",
    "tensorboard",
    "pyyaml",
    "pydantic",
    "tqdm",
    "filelock",
    "scikit-learn",
    "pillow",
    "matplotlib",
    "optuna",
)
PACKAGES = (
    "pml_hyperbolic",
    "torch",
    "numpy",
    "pytorch-metric-learning",
    "geoopt",
    "faiss-cpu",
    "faiss-gpu",
    *BENCHMARK_PACKAGES,
)


def package_versions() -> dict[str, str]:
    """Installed version of each package that this project uses, absent ones left out."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def describe_environment(device: torch.device) -> dict:
    """Versions, hardware and commit, as plain data for ``environment.json``."""
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
    }


def git_commit() -> str | None:
    """The commit that this code is checked out at, or None outside a repository."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
