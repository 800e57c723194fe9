"""`pml-hyperbolic doctor` finds what is wrong with made-up installations."""

import importlib.metadata
import sys
import warnings

import pytest
import torch

from pml_hyperbolic.benchmark import doctor, packages
from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.packages import (
    BENCHMARK_PACKAGES,
    FAISS_PACKAGES,
    PACKAGES,
    package_versions,
)

# What is installed here, without FAISS.
WHOLE = {name: v for name, v in package_versions().items() if name not in FAISS_PACKAGES}


@pytest.fixture
def installed(monkeypatch):
    """A function that makes the doctor find these versions."""

    def find(versions):
        def found(names=PACKAGES):
            return {name: versions[name] for name in names if name in versions}

        monkeypatch.setattr(doctor, "package_versions", found)

    return find


def without(*names):
    return {name: version for name, version in WHOLE.items() if name not in names}


@pytest.mark.parametrize(
    ("versions", "healthy", "said"),
    [
        (WHOLE, True, "faiss is not installed: searches use torch"),
        ({**WHOLE, "faiss-cpu": "1.9", "faiss-gpu": "1.9"}, False, "are both installed"),
        (
            without("timm", "pyyaml"),
            False,
            "extra `benchmark` lacks timm, pyyaml: pip install 'pml-hyperbolic[benchmark]'",
        ),
        (without("scipy"), False, "extra `benchmark` lacks scipy: "),
        # Who uses the losses alone has nothing to mend, and may have PML 3.
        (
            {**without(*BENCHMARK_PACKAGES), "pytorch-metric-learning": "3.0.4"},
            True,
            "the extra `benchmark` is not installed: losses, search and calculators do without",
        ),
        (
            {**WHOLE, "pytorch-metric-learning": "3.0.4"},
            False,
            "pytorch-metric-learning is 3.0.4, but the extra `benchmark` needs pytorch-metric-",
        ),
        (
            WHOLE,
            True,
            "extra `plots` lacks umap-learn, for `plot disk` and the maps of the report page: pip "
            "install 'pml-hyperbolic[plots]'",
        ),
        (WHOLE, True, "extra `postgresql` lacks psycopg, for `search --storage postgresql://...`"),
        (
            {**WHOLE, "torch": "2.5.1"},
            False,
            "torch is 2.5.1, but pml_hyperbolic needs torch>=2.6: pip install 'torch>=2.6'",
        ),
        (
            {**WHOLE, "timm": "0.9.0"},
            False,
            "timm is 0.9.0, but the extra `benchmark` needs timm>=1.0.3",
        ),
        (
            {**WHOLE, "faiss-cpu": "1.8.0"},
            False,
            "faiss-cpu is 1.8.0, but the extra `cpu` needs faiss-cpu>=1.9",
        ),
    ],
)
def test_problems_are_found(installed, capsys, versions, healthy, said):
    installed(versions)
    assert main(["doctor"]) == (0 if healthy else 1)
    out = capsys.readouterr().out
    assert said in out
    assert out.splitlines()[-1].startswith(
        "everything is in order" if healthy else "something needs fixing"
    )


def test_pre_releases_and_builds_are_within_their_range(installed):
    installed({**WHOLE, "torch": f"{WHOLE['torch']}+cu999", "geoopt": "99.0rc1"})
    assert doctor.diagnose()[1]


def test_a_faiss_that_does_not_import(installed, monkeypatch):
    installed({**WHOLE, "faiss-cpu": "1.9"})
    monkeypatch.setitem(sys.modules, "faiss", None)
    lines, healthy = doctor.diagnose()
    assert not healthy
    assert any("pip install --force-reinstall faiss-cpu" in line for line in lines)


def test_a_checkout_that_is_newer_than_its_installation(installed):
    installed({**WHOLE, "pml_hyperbolic": "999"})
    lines, healthy = doctor.diagnose()
    assert not healthy
    (line,) = [line for line in lines if "is installed as" in line]
    assert line.startswith("pml_hyperbolic 999 is installed as ")


def test_a_folder_that_is_not_installed(installed, monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", absent)
    installed(WHOLE)
    lines, healthy = doctor.diagnose()
    assert not healthy
    assert any("is imported from a folder and not installed" in line for line in lines)


@pytest.mark.parametrize(
    ("built_for", "visible", "driver", "failure", "said"),
    [
        (None, None, None, None, "built without CUDA, and there is no NVIDIA driver"),
        (None, None, "/bin/nvidia-smi", None, "but there is an NVIDIA driver: install a build"),
        ("13.0", "", "/bin/nvidia-smi", None, "CUDA_VISIBLE_DEVICES='' hides the GPUs: unset it"),
        ("13.0", None, None, RuntimeError("too\nold"), "too old (for a GPU: this torch is built"),
        ("13.0", None, None, None, "torch finds no GPU (for a GPU"),
    ],
)
def test_why_there_is_no_gpu(monkeypatch, built_for, visible, driver, failure, said):
    def init():
        if failure is not None:
            raise failure

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    monkeypatch.setattr(doctor.shutil, "which", lambda program: driver)
    monkeypatch.setattr(doctor.Path, "exists", lambda path: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    (line,) = [line for line in doctor.diagnose()[0] if line.startswith("CUDA")]
    assert line.startswith("CUDA: no device, everything runs on the CPU: ")
    assert said in line


def test_gpus_are_named_with_what_torch_says_of_them(monkeypatch):
    def name(index):
        warnings.warn("too old for\nthis torch", UserWarning, stacklevel=2)
        return "Tesla K80"

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", name)
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    lines, _ = doctor.diagnose()
    assert "CUDA 12.4: Tesla K80" in lines
    assert "torch warns: too old for this torch" in lines


def test_packages_that_do_not_fit_each_other(monkeypatch):
    def requires(package):
        return ["Torch == 2.6.0", "numpy", "scipy<1; extra == 'scipy'"]

    monkeypatch.setattr(packages.importlib.metadata, "requires", requires)
    lines, healthy = doctor.diagnose()
    assert not healthy
    fix = "pip install 'Torch==2.6.0'"
    assert f"Torch is {WHOLE['torch']}, but torchvision needs Torch==2.6.0: {fix}" in lines
