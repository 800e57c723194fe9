"""Tiny data sets in exactly the layout of the official releases."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def write_image():
    """A function that writes an image of random pixels and returns them, (channels, h, w)."""
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
            # As the official archives are called.
            path = shutil.move(path, f"{base}.tgz")
        return Path(path)

    return pack_folder
