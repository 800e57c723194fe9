"""Points of a random tree: their generative model, labels, splits and repeatability."""

import itertools
import math

import numpy as np
import pytest

from pml_hyperbolic.benchmark.assembly.class_splits import class_splits
from pml_hyperbolic.benchmark.assembly.registry import from_registry
from pml_hyperbolic.benchmark.config import FoldedSplits
from pml_hyperbolic.benchmark.datasets import DATASETS, FeatureData, RandomTree
from pml_hyperbolic.errors import InputError

# Of the features with default arguments: another one means that old runs cannot be continued.
FINGERPRINT = "7dbbc7268433"


def reference(branching, dimension, seed):
    """Position of each node by its path, the leaves' paths, and the random numbers that follow."""
    random = np.random.RandomState(seed)
    position = {(): np.zeros(dimension)}
    level = [()]
    for children in branching:
        level = [(*path, child) for path in level for child in range(children)]
        for path in level:
            position[path] = position[path[:-1]] + [random.normal() for _ in range(dimension)]
    return position, level, random


def test_features_follow_the_formula():
    branching, dimension, noise, nuisance, points = [2, 3, 2], 5, 0.3, 1.5, 4
    data = RandomTree(branching, dimension, noise, nuisance, points, "branches", seed=3)
    position, leaves, random = reference(branching, dimension, 3)
    np.testing.assert_array_equal(data.positions, [position[leaf] for leaf in leaves])
    samples = [leaf for leaf in leaves for _ in range(points)]
    scatter = [random.normal(size=dimension) for _ in samples]
    factors = [random.normal(size=8) for _ in samples]
    loadings = random.normal(size=(8, dimension))
    first, bend, last = (
        random.normal(size=(dimension, dimension)) / math.sqrt(dimension) for _ in range(3)
    )
    for i, leaf in enumerate(samples):
        s = position[leaf] + noise * scatter[i]
        for k in range(8):
            s = s + nuisance * factors[i][k] * loadings[k]
        y = sum(s[j] * first[j] for j in range(dimension))
        bent = y + np.sin(sum(y[j] * bend[j] for j in range(dimension)))
        x = sum(bent[j] * last[j] for j in range(dimension))
        assert np.abs(data.features[i] - x).max() <= 2**-11 + 1e-5
    assert (data.features * 1024 == np.rint(data.features * 1024)).all()


def test_squared_distances_count_edges():
    data = RandomTree([3, 3, 3], ambient_dimension=4000, points_per_leaf=1)
    for i, j in itertools.combinations(range(27), 2):
        first, second = (data.class_names[k].split(".") for k in (i, j))
        common = next(d for d in range(3) if first[d] != second[d])
        squared = ((data.positions[i] - data.positions[j]) ** 2).sum() / 4000
        assert squared == pytest.approx(2 * (3 - common), rel=0.15)


def test_labels_are_the_way_to_the_root():
    data = RandomTree()
    assert DATASETS["tree"] is RandomTree
    assert isinstance(data, FeatureData)
    assert data.features.shape == (256 * 16, 64)
    assert data.features.dtype == np.float32
    assert data.labels.dtype == np.int64
    assert data.level_names == ("leaf", "depth 2", "depth 1")
    assert np.bincount(data.labels[:, 0]).tolist() == [16] * 256
    for row in np.unique(data.labels, axis=0):
        leaf = data.class_names[row[0]]
        ancestors = [names[k] for names, k in zip(data.superclass_names, row[1:], strict=True)]
        assert ancestors == [leaf.rsplit(".", 1)[0], leaf.split(".")[0]]
    assert len(set(data.class_names)) == 256
    assert data.query is data.gallery is None


@pytest.mark.parametrize("branching", [(4, 8, 8), (2, 3, 5), (6, 4)])
@pytest.mark.parametrize("unseen", ["leaves", "branches"])
def test_what_training_and_test_share(branching, unseen):
    data = RandomTree(branching, 4, points_per_leaf=1, unseen=unseen)
    test = np.isin(data.labels[:, 0], data.test_classes)
    deciding = branching[-1] if unseen == "leaves" else branching[0]
    assert test.mean() == pytest.approx(deciding // 2 / deciding)
    for column in range(1, len(branching)):
        seen, unseen_nodes = set(data.labels[~test, column]), set(data.labels[test, column])
        if unseen == "leaves":
            assert seen == unseen_nodes
        else:
            assert not seen & unseen_nodes


def test_folds_are_unseen_in_the_same_way():
    data = RandomTree(ambient_dimension=4)
    for fold in range(4):
        splits = class_splits(FoldedSplits(test="official", folds=4), data, fold)
        sizes = [len(classes) for classes in splits]
        assert sizes == [96, 32, 128]
        nodes = [set(data.labels[np.isin(data.labels[:, 0], s), 1]) for s in splits]
        assert nodes[0] == nodes[1] == nodes[2] == set(range(32))


def test_features_are_the_same_everywhere():
    data = RandomTree()
    assert data.fingerprint(data.features) == FINGERPRINT
    again = RandomTree()
    assert (again.features == data.features).all()
    other = RandomTree(seed=1)
    assert other.fingerprint(other.features) != FINGERPRINT
    # The order of classes does not move the leaves.
    branches = RandomTree(unseen="branches")
    at = {name: data.positions[i] for i, name in enumerate(data.class_names)}
    assert all((at[n] == branches.positions[i]).all() for i, n in enumerate(branches.class_names))


def test_classes_can_be_told_apart_but_not_by_raw_features():
    data = RandomTree()
    test = np.isin(data.labels[:, 0], data.test_classes)

    def nearest_is_right(features):
        squares = (features**2).sum(1)
        distances = squares[:, None] + squares - 2 * features @ features.T
        np.fill_diagonal(distances, np.inf)
        labels = data.labels[test, 0]
        return (labels[distances.argmin(1)] == labels).mean()

    features = data.features.astype(np.float64)
    assert 0.01 < nearest_is_right(features[test]) < 0.1
    # Whitened by the scatter within training classes, which says nothing about test classes.
    groups = features[~test].reshape(-1, 16, 64)
    within = (groups - groups.mean(1, keepdims=True)).reshape(-1, 64)
    whitening = np.linalg.cholesky(np.linalg.inv(within.T @ within / len(within)))
    assert nearest_is_right(features[test] @ whitening) > 0.8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"branching": 3}, r"branching as a list of integers >= 2.*got 3"),
        ({"branching": []}, r"branching as a list.*got \[\]"),
        ({"branching": [4, 1]}, r"branching as a list.*got \[4, 1\]"),
        ({"branching": [4, True]}, r"branching as a list"),
        ({"branching": "48"}, r"branching as a list.*got '48'"),
        ({"ambient_dimension": 0}, r"integer ambient_dimension >= 1, got 0"),
        ({"points_per_leaf": 0.5}, r"integer points_per_leaf >= 1, got 0.5"),
        ({"noise": -1}, r"finite noise >= 0, got -1"),
        ({"nuisance": math.inf}, r"finite nuisance >= 0, got inf"),
        ({"unseen": "twigs"}, r'unseen "leaves" or "branches", got \'twigs\''),
        ({"seed": -1}, r"integer seed >= 0 and below.*got -1"),
        ({"seed": "a"}, r"integer seed >= 0 and below.*got .a."),
        ({"depth": 3}, r"unknown argument 'depth'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        from_registry(DATASETS, "data set", {"tree": arguments}, "protocol.data")
