"""What is installed, what clashes, what is missing: the text of ``pml-hyperbolic doctor``."""

import sys

import torch

from .environment import BENCHMARK_PACKAGES, PACKAGES, package_versions


def diagnose() -> tuple[list[str], bool]:
    """Lines to print, and whether nothing needs mending."""
    versions = package_versions()
    healthy = True
    lines = [f"python {sys.version.split()[0]}"]
    lines += [f"{name} {versions.get(name, '-')}" for name in PACKAGES]
    if torch.cuda.is_available():
        lines.append(f"CUDA {torch.version.cuda}: {torch.cuda.get_device_name()}")
    else:
        lines.append("CUDA: no device; everything runs on the CPU")
    faiss = [name for name in ("faiss-cpu", "faiss-gpu") if name in versions]
    if len(faiss) == 2:
        healthy = False
        lines.append(
            "faiss-cpu and faiss-gpu are both installed, and both own the module faiss, which "
            "breaks: pip uninstall -y faiss-cpu faiss-gpu, then install one "
            "(faiss-gpu works without a GPU too)"
        )
    elif not faiss:
        lines.append(
            "no faiss: the exact torch search serves; pip install 'pml_hyperbolic[cpu]' or "
            "'pml_hyperbolic[gpu]' is faster"
        )
    else:
        problem = _import_problem("faiss")
        if problem:
            healthy = False
            lines.append(
                f"{faiss[0]} does not import ({problem}): pip install --force-reinstall {faiss[0]}"
            )
    missing = [name for name in BENCHMARK_PACKAGES if name not in versions]
    if missing:
        healthy = False
        lines.append(
            f"extra `benchmark` lacks {', '.join(missing)}: pip install 'pml_hyperbolic[benchmark]'"
        )
    lines.append("all is well" if healthy else "something needs mending, see above")
    return lines, healthy


def _import_problem(module):
    try:
        __import__(module)
    except ImportError as error:
        return " ".join(str(error).split())
    return None
