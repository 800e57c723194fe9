"""scikit-learn's digits as image data."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pml_hyperbolic.benchmark.datasets import DATASETS, Digits


def test_images_and_labels():
    data, bunch = Digits(), load_digits()
    assert DATASETS["digits"] is Digits
    assert data.labels.shape == (1797, len(data.level_names))
    assert (data.labels[:, 0] == bunch.target).all()
    images = np.stack([data.image(5), data.image(3)])
    assert images.shape == (2, 1, 8, 8)
    assert images.dtype == np.uint8
    assert data.class_names == list("0123456789")
    assert data.test_classes is data.query is data.gallery is None
    assert np.abs(images[:, 0] / 255 - bunch.images[[5, 3]] / 16).max() <= 0.5 / 255 + 1e-12


def test_indices_of_classes():
    data = Digits()
    indices = data.indices_of([7, 2])
    assert set(data.labels[indices, 0]) == {2, 7}
    assert len(indices) == np.isin(data.labels[:, 0], [2, 7]).sum()
    assert (np.diff(indices) > 0).all()
    with pytest.raises(ValueError, match=r"no classes \[10, 12\]: its classes are 0 to 9"):
        data.indices_of([12, 1, 10])
