"""Fixtures of the documentation's tests."""

import copy
import sys

import pytest
import torch

from pml_hyperbolic.backbones import BACKBONES
from pml_hyperbolic.benchmark.assembly.registry import REGISTRY
from pml_hyperbolic.benchmark.datasets import DATASETS


@pytest.fixture
def documented_folder(tmp_path, monkeypatch):
    """An empty folder as the current one; what code registers or imports there is undone."""
    torch.manual_seed(0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(tmp_path / "cache"))
    registries = [DATASETS, BACKBONES, REGISTRY["loss"]]
    before = copy.copy(registries), [dict(one) for one in registries], set(sys.modules)
    yield tmp_path
    for registry, content in zip(*before[:2], strict=True):
        registry.clear()
        registry.update(content)
    for name in set(sys.modules) - before[2]:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


@pytest.fixture
def write_photos(write_image):
    """A function that writes small pictures, a folder for each of some classes."""

    def write(folder, classes, photos):
        for one in range(classes):
            for photo in range(photos):
                write_image(folder / f"class {one:02d}" / f"{photo}.png", (40, 36))

    return write
