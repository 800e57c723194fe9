"""What is installed, what conflicts and what is missing: ``pml-hyperbolic doctor``."""

import importlib.metadata
import os
import shutil
import sys
import warnings
from pathlib import Path

import torch

from ..errors import message_of
from .packages import (
    BENCHMARK_PACKAGES,
    FAISS_PACKAGES,
    PACKAGES,
    PROJECT,
    package_versions,
    requirements,
    unfit,
)

# Of the extra `benchmark`, what nothing else here requires: without any, it was not asked for.
_BENCHMARK_ALONE = ("timm", "record-keeper", "pydantic", "optuna")
# Further extras: extra -> who needs it.
_OTHER_EXTRAS = {
    "plots": "`plot disk` and the maps of the report page",
    "postgresql": "`search --storage postgresql://...`",
}


def diagnose() -> tuple[list[str], bool]:
    """Return the lines to print, and whether nothing needs fixing."""
    versions = package_versions()
    lines = [f"python {sys.version.split()[0]}"]
    lines += [f"{name} {versions.get(name, '-')}" for name in PACKAGES]
    lines += _about_cuda()
    faiss = [name for name in FAISS_PACKAGES if name in versions]
    if not faiss:
        lines.append(
            "faiss is not installed: searches use torch, which is exact but slower; for faiss, "
            "pip install 'pml-hyperbolic[cpu]' or 'pml-hyperbolic[gpu]'"
        )
    has_benchmark = any(name in versions for name in _BENCHMARK_ALONE)
    if not has_benchmark:
        lines.append(
            "the extra `benchmark` is not installed: losses, search and calculators do without it; "
            "for `run` and the other commands, pip install 'pml-hyperbolic[benchmark]'"
        )
    lines += _missing_extras()
    problems = [*_faiss_problems(faiss), *_version_problems(versions, has_benchmark)]
    if has_benchmark:
        problems += _missing(versions)
    lines += problems
    lines.append("something needs fixing, see above" if problems else "everything is in order")
    return lines, not problems


def _about_cuda():
    """Which GPUs torch uses, or why it uses none and what to do about it."""
    # torch warns of GPUs that it has no kernels for.
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if not torch.cuda.is_available():
            return [f"CUDA: no device, everything runs on the CPU: {_why_no_cuda()}"]
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    lines = [f"CUDA {torch.version.cuda}: {', '.join(names)}"]
    return lines + [f"torch warns: {' '.join(str(one.message).split())}" for one in said]


def _why_no_cuda():
    if torch.version.cuda is None:
        if not (shutil.which("nvidia-smi") or Path("/dev/nvidiactl").exists()):
            return "this torch is built without CUDA, and there is no NVIDIA driver"
        return (
            "this torch is built without CUDA, but there is an NVIDIA driver: install a build with "
            "CUDA as https://pytorch.org/get-started says"
        )
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return f"CUDA_VISIBLE_DEVICES={hidden!r} hides the GPUs: unset it, or name one"
    try:
        torch.cuda.init()
        reason = "torch finds no GPU"
    except (RuntimeError, AssertionError) as error:
        reason = message_of(error)
    return (
        f"{reason} (for a GPU: this torch is built for CUDA {torch.version.cuda}, which must not "
        f"be above the version that nvidia-smi shows: update the driver, or install a torch for it)"
    )


def _missing_extras():
    for extra, user in _OTHER_EXTRAS.items():
        names = [one.name for one in requirements(PROJECT, extra)]
        missing = sorted(set(names) - package_versions(names).keys())
        if missing:
            yield (
                f"the extra `{extra}` lacks {', '.join(missing)}, for {user}: "
                f"pip install 'pml-hyperbolic[{extra}]'"
            )


def _missing(versions):
    missing = [name for name in BENCHMARK_PACKAGES if name not in versions]
    if missing:
        yield (
            f"the extra `benchmark` lacks {', '.join(missing)}: "
            f"pip install 'pml-hyperbolic[benchmark]'"
        )


def _version_problems(versions, has_benchmark):
    """Versions out of the ranges that this project and its packages require of each other."""
    try:
        described = importlib.metadata.version(PROJECT)
    except importlib.metadata.PackageNotFoundError:
        yield (
            f"{PROJECT} is imported from a folder and not installed, so that the versions of its "
            f"packages cannot be checked: pip install -e . there"
        )
        return
    if described != versions[PROJECT]:
        yield (
            f"{PROJECT} {versions[PROJECT]} is installed as {described}, so that its requirements "
            f"may be out of date: pip install -e . again in its folder"
        )
    for name in versions:
        for one, found in unfit(name, versions):
            yield _out_of_range(one, found, name)
    for extra in ("benchmark", "cpu", "gpu") if has_benchmark else ("cpu", "gpu"):
        for one, found in unfit(PROJECT, versions, extra):
            yield _out_of_range(one, found, f"the extra `{extra}`")


def _out_of_range(requirement, found, user):
    needed = f"{requirement.name}{requirement.specifier}"
    return f"{requirement.name} is {found}, but {user} needs {needed}: pip install '{needed}'"


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
            reason = message_of(error)
            return [f"{name} cannot be imported ({reason}): pip install --force-reinstall {name}"]
    return []
