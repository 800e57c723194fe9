"""Tiny data sets, and functions that write image files and archives."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pml_hyperbolic.benchmark.datasets import ImageData
from pml_hyperbolic.images import decode_images


class Ramps(ImageData):
    """Two-channel images of 4 x 5 distinct pixels, four classes in two groups."""

    level_names = ("class", "group")

    def __init__(self):
        classes = np.arange(12) % 4
        self.labels = np.stack([classes, classes // 2], 1).astype(np.int64)

    def image(self, index):
        return (np.arange(40).reshape(2, 4, 5) + index).astype(np.uint8)


class Photos(ImageData):
    """Three-channel noise, every image of another size; it records which images were read."""

    level_names = ("class",)

    def __init__(self, count=24, channels=3):
        self.labels = (np.arange(count) % 4).astype(np.int64)[:, None]
        self.channels = channels
        self.asked = []

    def image(self, index):
        self.asked.append(index)
        rng = np.random.default_rng(index)
        height, width = rng.integers(9, 40, 2)
        return rng.integers(0, 256, (self.channels, height, width), dtype=np.uint8)


def decode(data, **options):
    """Decode a tiny data set; ``options`` are arguments of ``decode_images``."""
    defaults = {"name": "photos", "identity": {"labels": data.labels.tolist()}}
    return decode_images(data.image, len(data), **{**defaults, **options})


@pytest.fixture
def ramps():
    return Ramps()


@pytest.fixture
def photos():
    return Photos()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, which is used even for the smallest data set."""
    monkeypatch.setenv("PML_HYPERBOLIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pml_hyperbolic.images.image_cache.IN_MEMORY", 0)
    return tmp_path / "cache"


@pytest.fixture
def write_image():
    """A function that writes an image of random pixels and returns them as (channels, h, w)."""
    generator = np.random.default_rng(0)

    def write(path, size=(8, 6), mode="RGB"):
        path.parent.mkdir(parents=True, exist_ok=True)
        channels = len(Image.new(mode, (1, 1)).getbands())
        pixels = generator.integers(0, 256, (*size, channels), dtype=np.uint8)
        if mode == "1":
            pixels = (pixels >= 128).astype(np.uint8) * 255
        image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels).convert(mode)
        image.save(path)
        return pixels.transpose(2, 0, 1)

    return write


@pytest.fixture
def pack():
    """A function that packs a folder into an archive beside it and removes the folder."""

    def pack_folder(folder, form="zip", name=None):
        base = folder.parent / (name or folder.name)
        path = shutil.make_archive(str(base), form, folder.parent, folder.name)
        shutil.rmtree(folder)
        if form == "gztar":
            # The suffix of the official archives.
            path = shutil.move(path, f"{base}.tgz")
        return Path(path)

    return pack_folder
