"""One split of a data set of precomputed features."""

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.datasets import FeatureData, FeatureSubset


class Features(FeatureData):
    level_names = ("class", "group")

    def __init__(self):
        classes = np.arange(12) % 4
        self.labels = np.stack([classes, classes // 2], 1).astype(np.int64)
        self.features = np.random.default_rng(0).normal(size=(12, 5))


def test_batches():
    data = Features()
    subset = FeatureSubset(data, [3, 1], lambda: data.features)
    features, labels = subset.__getitems__([0, 3])
    assert features.dtype == torch.float32
    assert np.abs(features.numpy() - data.features[[1, 7]]).max() < 1e-6
    assert labels.tolist() == [[1, 0], [0, 1]]
    feature, label = subset[3]
    assert torch.equal(feature, features[1])
    assert torch.equal(label, labels[1])


def test_torch_features_are_accepted():
    data = Features()
    data.features = torch.from_numpy(data.features)
    features, _ = FeatureSubset(data, [0], lambda: data.features).__getitems__([2])
    assert torch.equal(features[0], data.features[8].float())


def test_unknown_classes_are_refused():
    with pytest.raises(ValueError, match=r"Features has no classes \[9\]"):
        FeatureSubset(Features(), [9], np.empty)
