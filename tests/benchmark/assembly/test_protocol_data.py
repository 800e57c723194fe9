"""The data of a protocol: read once, decoded once, and identified."""

import hashlib
import json

import numpy as np
import pytest

from pml_hyperbolic.benchmark.assembly import protocol_data
from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.datasets import DATASETS, Digits, FeatureData
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.images import DecodedImages

from ..shop import Shop


@pytest.fixture
def data(load):
    """A function that makes the data of the tiny benchmark, with overrides."""
    return lambda *overrides: ProtocolData(load(*overrides).protocol)


def test_nothing_is_read_before_it_is_needed(data, monkeypatch):
    counts = dict.fromkeys(("listed", "decoded"), 0)

    class Counted(Digits):
        def __init__(self):
            counts["listed"] += 1
            super().__init__()

        def image(self, index):
            counts["decoded"] += 1
            return super().image(index)

    monkeypatch.setitem(DATASETS, "digits", Counted)
    made = data("protocol.splits={folds: 2}", "protocol.sampler.batch_size=4")
    assert counts == {"listed": 0, "decoded": 0}
    assert made.level_names == ["digit"]
    assert counts == {"listed": 1, "decoded": 0}
    for _ in range(2):
        assert made.channels == 1
        assert len(made.fingerprint) == 12
        assert made.fold(0) is made.fold(0)
        assert made.fold(0).inputs is made.fold(1).inputs is made.inputs
    # The first image is decoded once more, to know how large the data set will be.
    assert counts == {"listed": 1, "decoded": 1798}


def test_what_cannot_be_read_is_tried_again(data, tmp_path):
    """A file that appears later is found."""
    path = tmp_path / "late.npz"
    made = data(f"protocol.data={{features: {{root: {path}}}}}", "protocol.augmentation={}")
    for _ in range(2):
        with pytest.raises(InputError, match=r"late.npz does not exist"):
            made.fingerprint  # noqa: B018
    np.savez(path, features=np.zeros((4, 3)), labels=np.arange(4) // 2)
    assert made.channels == 3


def test_the_fingerprint_is_of_labels_names_and_sizes(data, monkeypatch):
    digits = Digits()
    digest = hashlib.sha256("\n".join(["digit", *map(str, range(10))]).encode())
    digest.update(digits.labels)
    digest.update(np.tile(np.array([1, 8, 8], dtype=np.int64), (1797, 1)))
    assert data().fingerprint == digest.hexdigest()[:12]
    monkeypatch.setitem(DATASETS, "shop", Shop)
    assert data("protocol.data=shop").fingerprint != data().fingerprint


def test_the_cache_key_has_the_labels_and_the_arguments(data, monkeypatch, tmp_path):
    class Sorted(Digits):
        def __init__(self, root, note):
            super().__init__()

    seen = {}

    def decode(read, count, **options):
        seen.update(count=count, **options)
        return DecodedImages(np.zeros(count * 64, np.uint8), np.tile([1, 8, 8], (count, 1)))

    monkeypatch.setitem(DATASETS, "sorted", Sorted)
    monkeypatch.setattr(protocol_data, "decode_images", decode)
    spec = {"sorted": {"root": str(tmp_path), "note": "no file"}}
    made = data(f"protocol.data={json.dumps(spec)}", "protocol.image={size: 6, resize: 7}")
    assert made.channels == 1
    labels = hashlib.sha256(Digits().labels).hexdigest()
    assert seen == {
        "count": 1797,
        "name": "sorted",
        "identity": {"spec": spec, "labels": labels},
        "sources": [tmp_path],
        "listings": {},
        "short_side": 7,
        "interpolation": "bilinear",
    }


def test_images_of_several_sizes_need_one(data, monkeypatch):
    class Ragged(Digits):
        def image(self, index):
            return super().image(index)[:, : 6 + index % 3]

    monkeypatch.setitem(DATASETS, "digits", Ragged)
    with pytest.raises(
        InputError,
        match=r"^images have several sizes, heights from 6 to 8 and widths from 8 to 8: set protoc",
    ):
        data().inputs  # noqa: B018
    made = data("protocol.image={size: 6}")
    subset = made.fold(0).subsets(0.0, 1.0, "cpu")["test"]
    assert subset.__getitems__([0, 1, 2])[0].shape == (3, 1, 6, 6)


class Features(FeatureData):
    level_names = ("digit",)

    def __init__(self):
        digits = Digits()
        self.labels, self.class_names = digits.labels, digits.class_names
        self.features = np.zeros((1797, 5), np.float32)


def test_features_are_their_own_inputs(data, monkeypatch):
    monkeypatch.setitem(DATASETS, "zeros", Features)
    made = data("protocol.data=zeros", "protocol.augmentation={}")
    assert made.inputs is made.dataset
    assert made.channels == 5
    with pytest.raises(InputError, match=r"protocol.augmentation would do nothing to precomputed"):
        data("protocol.data=zeros").channels  # noqa: B018
