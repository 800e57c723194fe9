"""Fixtures of the tests of figures: files of embeddings, and a disk whose layout is quick."""

import numpy as np
import pytest
import torch

from pml_hyperbolic.visualize import disk_layout


@pytest.fixture
def quick_layout(monkeypatch):
    """The disk with two columns of the embeddings in the place of UMAP's layout."""

    def layout(rows, distance, neighbors, seed, start):
        return rows[:, :2].double().numpy()

    monkeypatch.setattr(disk_layout, "_layout", layout)


@pytest.fixture
def arrays():
    """Tangent vectors of 24 samples of 4 classes in 2 superclasses, and 6 proxies."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 6)
    centers = random.normal(size=(4, 5))
    return {
        "embeddings": (centers[labels] + 0.4 * random.normal(size=(24, 5))).astype(np.float32),
        "labels": labels,
        "superclasses": labels // 2,
        "class_names": np.array(["ant", "bee", "cat", "dog"]),
        "proxies": (0.5 * random.normal(size=(6, 5))).astype(np.float32),
        "c": np.array(0.1),
    }


@pytest.fixture
def write_file(tmp_path, arrays):
    """A function that writes these arrays, some of them replaced or left out: the file."""

    def write(name="animals.npz", without=(), **replaced):
        path = tmp_path / name
        content = {**arrays, **replaced}
        np.savez(path, **{key: content[key] for key in content if key not in without})
        return path

    return write


@pytest.fixture
def with_images(tmp_path, write_file, write_image):
    """A file of embeddings with an image of each."""
    paths = [f"photo{number}.png" for number in range(24)]
    for path in paths:
        write_image(tmp_path / path, (8, 8))
    return write_file("photos.npz", paths=np.array(paths))


@pytest.fixture
def published(tmp_path, arrays):
    """Two files in the form in which HIER's authors published embeddings and proxies."""
    points = torch.nn.functional.normalize(torch.from_numpy(arrays["embeddings"])) * 1.9
    proxies = torch.nn.functional.normalize(torch.from_numpy(arrays["proxies"])) * 1.8
    files = tmp_path / "train.pt", tmp_path / "lca.pt"
    torch.save((points, torch.from_numpy(arrays["labels"])), files[0])
    torch.save((proxies, torch.full((6,), 4)), files[1])
    return files
