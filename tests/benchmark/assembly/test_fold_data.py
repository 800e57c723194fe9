"""The data of one fold: splits, queries and gallery, and the subsets of a run."""

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.assembly.fold_data import query_and_gallery
from pml_hyperbolic.benchmark.assembly.protocol_data import ProtocolData
from pml_hyperbolic.benchmark.datasets import DATASETS, Digits
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.images import Augmentation, InputSize, RandomCrop

from ..shop import Shop

CPU = torch.device("cpu")


@pytest.fixture
def fold(load):
    """A function that makes the first fold of the tiny benchmark, with overrides."""
    return lambda *overrides: ProtocolData(load(*overrides).protocol).fold(0)


def test_subsets_have_the_classes_of_their_splits(fold):
    made = fold()
    labels = Digits().labels[:, 0]
    subsets = made.subsets(0.5, 0.5, CPU)
    assert made.classes == ([0, 1, 2], [3, 4], [5, 6, 7])
    for name, classes in (
        ("train", [0, 1, 2]),
        ("scored_train", [0, 1, 2]),
        ("validation", [3, 4]),
        ("test", [5, 6, 7]),
    ):
        assert np.array_equal(subsets[name].indices, np.flatnonzero(np.isin(labels, classes)))
    assert np.array_equal(made.query, np.arange(len(subsets["test"])))
    assert made.gallery is None


def test_runs_share_images_but_no_random_numbers(fold):
    made = fold()
    first, second = (made.subsets(0.5, 0.5, CPU) for _ in range(2))
    assert first["train"].images is second["test"].images is made.inputs
    assert first["train"].generator is not second["train"].generator


def test_settings_of_the_protocol_reach_the_transforms(fold):
    overrides = (
        "protocol.image={size: 6, resize: 7, interpolation: bicubic}",
        "protocol.augmentation={random_resized_crop: {scale: [0.3, 0.9]}, random_shift: 2, "
        "horizontal_flip: true}",
    )
    subsets = fold(*overrides).subsets(0.5, 0.5, CPU)
    augmented = Augmentation(RandomCrop((0.3, 0.9), (0.75, 4 / 3)), 2, True)
    for name, subset in subsets.items():
        assert subset.transform.input_size == InputSize(6, 7, "bicubic")
        assert subset.transform.augmentation == (augmented if name == "train" else Augmentation())
    defaults = fold("protocol.augmentation={}").subsets(0.5, 0.5, CPU)["train"].transform
    assert (defaults.input_size, defaults.augmentation) == (None, Augmentation())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["protocol.splits.validation=[3, 12]"], r"splits.validation: Digits has no classes \[12"),
        (
            ["protocol.splits={folds: 2}"],
            r"^protocol, fold 0: a batch would hold 3 classes .*, but splits.train has 2",
        ),
    ],
)
def test_splits_that_do_not_fit_are_refused(fold, overrides, message):
    with pytest.raises(InputError, match=message):
        fold(*overrides)


def test_queries_and_gallery_are_positions_among_the_test_images():
    data = Shop()
    indices = data.indices_of([5, 1])
    query, gallery = query_and_gallery(data, indices)
    assert np.array_equal(
        indices[query], np.flatnonzero(data.query & np.isin(data.labels[:, 0], [1, 5]))
    )
    assert not set(query) & set(gallery)
    assert len(gallery) > 0


def test_classes_without_queries_are_refused(fold, monkeypatch):
    monkeypatch.setitem(DATASETS, "shop", Shop)
    splits = "protocol.splits={train: [1, 3, 4], validation: [5, 7], test: [0, 2]}"
    with pytest.raises(InputError, match=r"have 0 query and 0 gallery images: use test: official"):
        fold("protocol.data=shop", splits)
