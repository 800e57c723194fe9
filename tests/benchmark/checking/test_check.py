"""What `validate` reads: every file once, however many methods there are."""

import functools
import os
import zipfile
from collections import Counter

import pytest
from pytorch_metric_learning import losses

from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.assembly.registry import REGISTRY
from pml_hyperbolic.benchmark.checking.check import check_benchmark
from pml_hyperbolic.benchmark.config import load_benchmark
from pml_hyperbolic.benchmark.datasets import ImageFolder
from pml_hyperbolic.errors import InputError

from ..conftest import HYPERBOLIC, METHODS, TINY

SEVEN = {
    **{name: METHODS[name] for name in ("proxy_anchor", "hier", "hyp", "chest")},
    "multi_similarity": {"loss": "MultiSimilarityLoss", "miner": "MultiSimilarityMiner"},
    "soft_triple": {"loss": "SoftTripleLoss", "loss_lr": 0.01},
    "triplet": {
        "loss": {"TripletMarginLoss": {"distance": {"PoincareDistance": HYPERBOLIC}}},
        "head": {"spaces": ["hyperbolic"]},
    },
}
IMAGES = 8 * 5


@pytest.fixture
def folder(tmp_path, write_image):
    """Eight classes of five tiny images."""
    root = tmp_path / "photos"
    for index in range(IMAGES):
        write_image(root / f"class{index % 8}" / f"{index}.png", size=(4, 4))
    return root


@pytest.fixture
def load_seven(tmp_path, write_config):
    """A function that loads seven methods on images of a folder or archive."""

    def load(root, *overrides):
        path = write_config(tmp_path, {**TINY, "methods": list(SEVEN)}, SEVEN)
        data = f"protocol.data={{image_folder: {{root: {root}}}}}"
        return load_benchmark(path, [data, "protocol.evaluation.recall_at=[]", *overrides])

    return load


@pytest.fixture
def count(monkeypatch, tmp_path):
    """Counts of what is read from here on."""
    counts = Counter()
    scandir, make, image = os.scandir, ImageFolder.__init__, ImageFolder.image

    def counted_walk(top="."):
        # A walk begins at the top.
        if str(top) == str(tmp_path / "photos"):
            counts["walks"] += 1
        return scandir(top)

    @functools.wraps(make)
    def counted_make(self, *args, **kwargs):
        counts["data sets"] += 1
        make(self, *args, **kwargs)

    def counted_image(self, index):
        counts["images"] += 1
        return image(self, index)

    class CountedZip(zipfile.ZipFile):
        def __init__(self, *args, **kwargs):
            counts["zips"] += 1
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(os, "scandir", counted_walk)
    monkeypatch.setattr(ImageFolder, "__init__", counted_make)
    monkeypatch.setattr(ImageFolder, "image", counted_image)
    monkeypatch.setattr(zipfile, "ZipFile", CountedZip)
    return counts


@pytest.mark.parametrize(
    "splits",
    ["{train: [0, 1, 2], validation: [3, 4], test: [5, 6, 7]}", "{folds: 2}"],
)
def test_a_folder_is_listed_once_for_all_methods_and_folds(
    folder, load_seven, cache, count, splits
):
    sampler = "protocol.sampler={batch_size: 8, samples_per_class: 4}"
    config = load_seven(folder, f"protocol.splits={splits}", sampler)
    assert len(config.methods) == 7
    assert len(config.protocol.folds) == (2 if "folds" in splits else 1)
    check_benchmark(config)
    # The first image is decoded twice: once to know how large the data set will be.
    assert count == {"walks": 1, "data sets": 1, "images": IMAGES + 1}
    count.clear()
    check_benchmark(config)
    assert count == {"walks": 1, "data sets": 1, "images": 1}


def test_a_zip_is_opened_once(folder, load_seven, cache, pack, count):
    archive = pack(folder)
    count.clear()
    check_benchmark(load_seven(archive))
    assert count == {"zips": 1, "data sets": 1, "images": IMAGES + 1}


def test_data_can_be_shared_with_runs(folder, load_seven, count):
    config = load_seven(folder)
    data = ProtocolData(config.protocol)
    checked = check_benchmark(config, data)
    assert checked.data == data.fingerprint
    assert count["data sets"] == 1


class FailingLoss(losses.ProxyAnchorLoss):
    def compute_loss(self, *args):
        raise RuntimeError("nothing works")


def test_the_method_that_fails_is_named(folder, load_seven, monkeypatch):
    monkeypatch.setitem(REGISTRY["loss"], "ProxyAnchorLoss", FailingLoss)
    message = r"^proxy_anchor: its loss fails on a batch of random embeddings: nothing works"
    with pytest.raises(InputError, match=message):
        check_benchmark(load_seven(folder))
