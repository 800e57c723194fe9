"""What is said of a data set before it is trained on."""

import numpy as np
import pytest

from pml_hyperbolic.benchmark.checking.data_notes import data_notes
from pml_hyperbolic.benchmark.datasets import Digits, FeatureData


@pytest.fixture
def features(tmp_path):
    """A function that writes features with labels, and reads them as a data set."""

    def read(values, labels=(0, 0, 1, 1)):
        np.savez(tmp_path / "f.npz", features=np.asarray(values, np.float32), labels=labels)
        return FeatureData(str(tmp_path / "f.npz"))

    return read


ROWS = [[1, 2], [3, 4], [5, 6], [7, 8]]


def test_nothing_is_said_of_ordinary_data(features):
    assert data_notes(Digits()) == []
    assert data_notes(features(ROWS)) == []


def test_classes_with_one_sample(features):
    assert data_notes(features(ROWS, ["a", "b", "b", "b"])) == [
        "1 class has a single sample, which has no other of its class to find or to learn from: a"
    ]
    (note,) = data_notes(features(ROWS, ["d", "c", "b", "a"]))
    assert note.startswith("4 classes have a single sample")
    assert note.endswith(": a, b, c, ...")


@pytest.mark.parametrize("value", [0, 3])
def test_features_that_are_all_the_same(features, value):
    (note,) = data_notes(features(np.full((4, 2), value)))
    assert note.startswith("all samples have the same features")


def test_features_that_are_0(features):
    (note,) = data_notes(features([[1, 0], [0, 0], [0, 0], [0, 1]]))
    assert note == (
        "2 samples have features that are all 0, the first is sample 1: check how they were "
        "computed"
    )


def test_listed_images_that_are_missing(features):
    data = features(ROWS)
    data.passed_over = ["a: 3 of 4 listed images are missing"]
    assert data_notes(data) == ["a: 3 of 4 listed images are missing"]
