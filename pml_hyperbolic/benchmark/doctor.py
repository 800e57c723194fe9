"""What is installed, what conflicts and what is missing: ``pml-hyperbolic doctor``."""

import sys

import torch

from .packages import BENCHMARK_PACKAGES, FAISS_PACKAGES, PACKAGES, package_versions


def diagnose() -> tuple[list[str], bool]:
    """Return the lines to print, and whether nothing needs fixing."""
    versions = package_versions()
    lines = [f"python {sys.version.split()[0]}"]
    lines += [f"{name} {versions.get(name, '-')}" for name in PACKAGES]
    if torch.cuda.is_available():
        lines.append(f"CUDA {torch.version.cuda}: {torch.cuda.get_device_name()}")
    else:
        lines.append("CUDA: no device; everything runs on the CPU")
    faiss = [name for name in FAISS_PACKAGES if name in versions]
    if not faiss:
        lines.append(
            "faiss is not installed: searches use torch, which is exact but slower; for faiss, "
            "pip install 'pml_hyperbolic[cpu]' or 'pml_hyperbolic[gpu]'"
        )
    problems = _faiss_problems(faiss)
    missing = [name for name in BENCHMARK_PACKAGES if name not in versions]
    if missing:
        problems.append(
            f"the extra `benchmark` lacks {', '.join(missing)}: "
            f"pip install 'pml_hyperbolic[benchmark]'"
        )
    lines += problems
    lines.append("something needs fixing, see above" if problems else "everything is in order")
    return lines, not problems


def _faiss_problems(installed):
    if len(installed) == 2:
        return [
            "faiss-cpu and faiss-gpu are both installed and overwrite each other's module faiss: "
            "pip uninstall -y faiss-cpu faiss-gpu, then install one of them "
            "(faiss-gpu works without a GPU too)"
        ]
    for name in installed:
        try:
            import faiss  # noqa: F401
        except ImportError as error:
            reason = " ".join(str(error).split())
            return [f"{name} cannot be imported ({reason}): pip install --force-reinstall {name}"]
    return []
