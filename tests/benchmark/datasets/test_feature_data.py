"""Precomputed features: formats, labels and refusals."""

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.datasets import DATASETS, FeatureData
from pml_hyperbolic.errors import InputError

FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3)
LABELS = np.array([[5, 1], [2, 1], [5, 1], [9, 0]])


@pytest.fixture
def write(tmp_path):
    """A function that writes a file of features and returns its path."""

    def write_file(form="npz", features=FEATURES, labels=LABELS):
        path = tmp_path / f"features.{form.split()[-1]}"
        content = {"features": features, "labels": labels}
        if form == "npz":
            np.savez(path, **content)
        else:
            tensors = {key: torch.as_tensor(value) for key, value in content.items()}
            torch.save(tuple(tensors.values()) if form == "pair of pt" else tensors, path)
        return str(path)

    return write_file


@pytest.mark.parametrize("form", ["npz", "pt", "pair of pt"])
def test_features_and_labels(write, form):
    assert DATASETS["features"] is FeatureData
    data = FeatureData(write(form))
    assert data.features.dtype == np.float32
    assert (data.features == FEATURES).all()
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == [[1, 1], [0, 1], [1, 1], [2, 0]]
    assert data.class_names == ["2", "5", "9"]
    assert [len(names) for names in data.superclass_names] == [2]
    assert data.level_names == ("class", "superclass")
    assert data.indices_of([1]).tolist() == [0, 2]
    assert data.test_classes is None


def test_half_precision_and_one_column_of_names(write):
    data = FeatureData(write("pt", torch.tensor(FEATURES).bfloat16(), LABELS[:, 0]))
    assert (data.features == FEATURES).all()
    assert data.labels.tolist() == [[1], [0], [1], [2]]
    data = FeatureData(write("npz", FEATURES.astype(np.float64), np.array(list("bacb"))))
    assert data.features.dtype == np.float32
    assert data.class_names == ["a", "b", "c"]
    assert data.labels.tolist() == [[1], [0], [2], [1]]


def test_level_names(write):
    path = write()
    assert FeatureData(path, level_names=["bird", "family"]).level_names == ("bird", "family")
    with pytest.raises(InputError, match="have 2 columns, but level_names has 1 names: give one"):
        FeatureData(path, level_names=["bird"])
    labels = np.zeros((4, 4), dtype=int)
    names = ("class", "superclass", "level 3", "level 4")
    assert FeatureData(write(labels=labels)).level_names == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"features": FEATURES[0]}, r"features must be \(N, D\) of floats, got float32 of shape"),
        ({"features": FEATURES.astype(int)}, "features must be .* got int64 of shape"),
        ({"labels": LABELS[:3]}, r"N = 4 features, got int64 of shape \(3, 2\)"),
        ({"labels": LABELS / 2}, "labels must be integers or names .* got float64"),
        ({"features": FEATURES.astype(float) * 1e38}, "of 3 samples are not finite .* sample 1"),
    ],
)
def test_what_does_not_fit_is_refused(write, content, message):
    with pytest.raises(InputError, match=message):
        FeatureData(write(**content))


class Harmful:
    """An object that leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


@pytest.mark.parametrize(
    "labels", [[[0, 0], [0, 1], [1, 2], [1, 2]], [[0, 0], [1, 0], [1, 1], [2, 1]]]
)
def test_columns_go_from_fine_to_coarse(write, labels):
    # The columns are in the wrong order, or a class has two superclasses.
    path = write(labels=np.array(labels))
    with pytest.raises(InputError, match=r"label [01] of column 0 .* columns from fine to coarse"):
        FeatureData(path)


@pytest.mark.parametrize("form", ["npz", "pt"])
def test_code_in_a_file_is_not_run(tmp_path, form):
    path, mark = tmp_path / f"features.{form}", tmp_path / "mark"
    harmful = Harmful(mark)
    if form == "npz":
        np.savez(path, features=np.array([harmful], dtype=object), labels=LABELS)
    else:
        torch.save({"features": harmful, "labels": torch.tensor(LABELS)}, path)
    with pytest.raises(
        InputError, match=r"features.* cannot be read \(.*expected an .npz"
    ) as caught:
        FeatureData(str(path))
    # torch advises to run the code.
    assert "weights_only" not in str(caught.value)
    assert not mark.exists()


def test_files_that_are_something_else(tmp_path, write):
    for name in ("a.npz", "a.pt", "a.csv"):
        (tmp_path / name).write_bytes(b"1,2,3")
        with pytest.raises(InputError, match=r"a.* cannot be read .* expected an .npz or .pt file"):
            FeatureData(str(tmp_path / name))
    np.savez(tmp_path / "b.npz", features=FEATURES)
    with pytest.raises(InputError, match=r"b.npz cannot be read .*labels"):
        FeatureData(str(tmp_path / "b.npz"))
    np.save(tmp_path / "c.npy", FEATURES)
    message = r"c.npy cannot be read \(it is a NumPy array \(.npy\)\): expected .* numpy.savez\("
    with pytest.raises(InputError, match=message):
        FeatureData(str(tmp_path / "c.npy"))
    with pytest.raises(InputError, match=r"nowhere.npz does not exist: expected"):
        FeatureData(str(tmp_path / "nowhere.npz"))


def test_published_embeddings(hier_cars):
    data = FeatureData(str(hier_cars / "cars_examples_train.pt"))
    assert data.features.shape == (8054, 128)
    assert len(data.class_names) == 98


def test_the_fingerprint_knows_samples_wherever_they_lie(write):
    def fingerprint(**content):
        data = FeatureData(write(**content))
        return data.fingerprint(data.features)

    same = fingerprint()
    assert fingerprint(form="pt") == same
    assert len({same, fingerprint(features=FEATURES + 1), fingerprint(labels=LABELS[::-1])}) == 3
