"""Finished runs to take models from: digits, photos of many sizes, precomputed features."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.datasets import Digits

HYPERBOLIC = {"c": 0.2, "clip_radius": 2.0}
METHODS = {
    "chest": {
        "loss": {"CHESTLoss": {"distance": {"PoincareSimilarity": HYPERBOLIC}}},
        "loss_lr": 0.01,
        "head": {"spaces": ["euclidean", "hyperbolic"], "initial_radius": 1.0},
    },
    "hyp": {
        "loss": {"NTXentLoss": {"distance": {"PoincareDistance": HYPERBOLIC}}},
        "head": {"spaces": ["hyperbolic"], "initial_radius": 1.0},
    },
    "proxy_anchor": {
        "loss": "ProxyAnchorLoss",
        "loss_lr": 0.01,
        "head": {"layer_norm": False},
    },
}
PROTOCOL = {
    "splits": {"train": [0, 1, 2], "validation": [3, 4], "test": [5, 6, 7]},
    "embedding_size": 8,
    "sampler": {"batch_size": 12, "samples_per_class": 4},
    "optimizer": {"trunk_lr": 1e-3, "head_lr": 1e-3},
    "epochs": 1,
    "steps_per_epoch": 3,
    "seeds": [0, 1],
    "device": "cpu",
    # As a user's machine with several cores would not have it by default.
    "threads": 1,
}


class Run(NamedTuple):
    """A finished run, and what its model has to reproduce."""

    folder: object
    embeddings: torch.Tensor
    images: list


@pytest.fixture(scope="session")
def run_benchmark(tmp_path_factory):
    """A function that runs a benchmark of a protocol and some methods: its folder of results."""

    def run(protocol, methods):
        folder = tmp_path_factory.mktemp("benchmark")
        (folder / "methods").mkdir()
        for name in methods:
            (folder / "methods" / f"{name}.yaml").write_text(yaml.safe_dump(METHODS[name]))
        config = {"name": "small", "protocol": {**PROTOCOL, **protocol}, "methods": methods}
        (folder / "small.yaml").write_text(yaml.safe_dump(config))
        output = folder / "runs"
        assert (
            main(["run", str(folder / "small.yaml"), "--output", str(output), "--jobs", "1"]) == 0
        )
        return output / "small"

    return run


def finished(folder, images):
    """A run of these images, which its data set has in this order."""
    with np.load(folder / "queries.npz") as queries:
        indices = queries["rows/indices"]
    embeddings = torch.from_numpy(np.load(folder / "test_embeddings.npy"))
    return Run(folder, embeddings, [images[i] for i in indices])


@pytest.fixture(scope="session")
def digits_benchmark(run_benchmark):
    """Three methods with a small convolutional network on digits."""
    protocol = {
        "data": "digits",
        "backbone": {"small_conv": {"width": 4, "blocks": 2}},
        "augmentation": {"random_shift": 1},
        "evaluation": {"batch_size": 100},
    }
    return run_benchmark(protocol, list(METHODS))


@pytest.fixture(scope="session")
def digit_images():
    """All scans, (8, 8) uint8."""
    data = Digits()
    return [data.image(i)[0] for i in range(len(data))]


@pytest.fixture(scope="session")
def digits_run(digits_benchmark, digit_images):
    """CHEST on digits: a small convolutional network and two spaces."""
    return finished(digits_benchmark / "chest" / "fold0_seed0", digit_images)


@pytest.fixture(scope="session")
def hyp_run(digits_benchmark, digit_images):
    """Hyp on digits: one hyperbolic space."""
    return finished(digits_benchmark / "hyp" / "fold0_seed1", digit_images)


@pytest.fixture(scope="session")
def plain_run(digits_benchmark, digit_images):
    """ProxyAnchor on digits: one Euclidean space, from a head without LayerNorm."""
    return finished(digits_benchmark / "proxy_anchor" / "fold0_seed0", digit_images)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of photos of eight classes, of many sizes, colour modes and orientations."""
    root = tmp_path_factory.mktemp("photos") / "photos"
    generator = np.random.default_rng(0)
    for label in range(8):
        (root / f"class{label}").mkdir(parents=True)
        for number in range(6):
            high, wide = generator.integers(30, 90, 2)
            # Small blocks of one colour survive JPEG's compression.
            pixels = generator.integers(0, 256, (high // 8 + 1, wide // 8 + 1, 3), dtype=np.uint8)
            image = Image.fromarray(pixels.repeat(8, 0).repeat(8, 1)[:high, :wide])
            path = root / f"class{label}" / f"photo{number}"
            if number == 0:
                image.convert("L").save(path.with_suffix(".png"))
            elif number == 1:
                image.convert("RGBA").save(path.with_suffix(".png"))
            elif number == 2:
                exif = image.getexif()
                exif[0x0112] = 6
                image.save(path.with_suffix(".jpg"), exif=exif)
            else:
                image.save(path.with_suffix(".jpg"))
    return root


@pytest.fixture(scope="session")
def photo_paths(photos):
    """The photos in the order of the data set."""
    return sorted(path for path in photos.rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def timm_run(run_benchmark, photos, photo_paths):
    """A fine-tuned model of timm on photos."""
    weights = photos.parent / "weights.pth"
    import timm

    torch.manual_seed(1)
    torch.save(timm.create_model("test_resnet.r160_in1k").state_dict(), weights)
    protocol = {
        "data": {"image_folder": {"root": str(photos)}},
        "backbone": {
            "timm": {
                "model": "test_resnet.r160_in1k",
                "pretrained": True,
                "weights": str(weights),
                "pooling": "avgmax",
                "batch_norm": {"statistics": "frozen"},
            }
        },
        "image": {"size": 40, "resize": 48, "interpolation": "bicubic"},
        "augmentation": {"horizontal_flip": True, "random_resized_crop": {}},
        "precision": "bfloat16",
        "evaluation": {"batch_size": 5},
        "seeds": [0],
    }
    results = run_benchmark(protocol, ["hyp"])
    weights.unlink()
    return finished(results / "hyp" / "fold0_seed0", photo_paths)


@pytest.fixture(scope="session")
def features_run(run_benchmark, tmp_path_factory):
    """CHEST on precomputed features."""
    generator = np.random.default_rng(0)
    features = generator.standard_normal((64, 12)).astype(np.float32)
    file = tmp_path_factory.mktemp("features") / "features.npz"
    np.savez(file, features=features, labels=np.arange(64) % 8)
    protocol = {"data": {"features": {"root": str(file)}}, "backbone": "identity", "seeds": [0]}
    results = run_benchmark(protocol, ["chest"])
    return finished(results / "chest" / "fold0_seed0", torch.from_numpy(features))


@pytest.fixture(autouse=True)
def one_thread():
    """Sums depend on the number of threads: embeddings equal the run's with its own number."""
    before = torch.get_num_threads()
    torch.set_num_threads(PROTOCOL["threads"])
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def frozen_run(run_benchmark, photos, photo_paths, tmp_path_factory):
    """Hyp on the features of a frozen model of timm, of photos."""
    import timm

    weights = photos.parent / "frozen.pth"
    torch.manual_seed(2)
    torch.save(timm.create_model("test_resnet.r160_in1k").state_dict(), weights)
    protocol = {
        "data": {"image_folder": {"root": str(photos)}},
        "backbone": {
            "timm": {
                "model": "test_resnet.r160_in1k",
                "pretrained": True,
                "weights": str(weights),
            }
        },
        "trunk": "frozen",
        "optimizer": {"head_lr": 1e-3},
        "image": {"size": 40, "resize": 48},
        "evaluation": {"batch_size": 6},
        "seeds": [0],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PML_HYPERBOLIC_CACHE", str(tmp_path_factory.mktemp("cache")))
        results = run_benchmark(protocol, ["hyp"])
    weights.unlink()
    return finished(results / "hyp" / "fold0_seed0", photo_paths)
