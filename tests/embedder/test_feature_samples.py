"""Features are listed row by row, and checked before any is embedded."""

import numpy as np
import pytest
import torch

from pml_hyperbolic.embedder.feature_samples import feature_samples
from pml_hyperbolic.errors import InputError


def test_rows_with_names_and_labels(tmp_path):
    features = np.arange(6.0).reshape(3, 2)
    file = tmp_path / "features.npz"
    np.savez(file, features=features, labels=np.array([["a", "x"], ["b", "x"], ["b", "x"]]))
    samples = feature_samples([file, torch.ones(2)], 2)
    assert [sample.name for sample in samples] == [
        *(f"{file}[{row}]" for row in range(3)),
        "features 1",
    ]
    assert [sample.label for sample in samples] == ["a", "b", "b", None]
    rows = [sample.read(None) for sample in samples]
    assert np.array_equal(np.stack(rows), [*features, [1, 1]])
    assert rows[0].dtype == np.float32


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], "there are no features"),
        (3, "features are a int"),
        (torch.ones(2, 2).long(), "got torch.int64 of shape"),
        (torch.ones(2, 3), "takes features of 2 dimensions, got 3"),
        (torch.ones(2, 2, 2), "expected features"),
        (torch.tensor([[1.0, 2.0], [1.0, torch.inf]]), r"features\[1\] is not finite"),
        ("absent.npz", "absent.npz is missing"),
    ],
)
def test_what_is_refused(features, message):
    with pytest.raises(InputError, match=message):
        feature_samples(features, 2)


@pytest.mark.parametrize("name", ["features.npz", "features.pt"])
def test_damaged_files_and_pickles_are_refused(name, tmp_path):
    file = tmp_path / name
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match=f"{name} cannot be read"):
        feature_samples(file, 2)
    if name.endswith("npz"):
        np.savez(file, features=np.array([print, len], dtype=object))
    else:
        torch.save({"features": print}, file)
    with pytest.raises(InputError, match=f"{name} cannot be read"):
        feature_samples(file, 2)


def test_as_many_labels_as_features(tmp_path):
    file = tmp_path / "features.npz"
    np.savez(file, features=np.ones((3, 2)), labels=np.arange(2))
    with pytest.raises(InputError, match="3 features have 2 labels"):
        feature_samples(file, 2)
