"""Folds are class-disjoint and in order, and never contain test classes."""

from types import SimpleNamespace

import numpy as np
import pytest

from pml_hyperbolic.benchmark.assembly.class_splits import class_splits
from pml_hyperbolic.benchmark.config import FoldedSplits, ListedSplits
from pml_hyperbolic.errors import InputError


def data(classes, test_classes=None):
    labels = np.repeat(classes, 2)[::-1, None]
    return SimpleNamespace(labels=labels, test_classes=test_classes)


def test_listed_splits_are_one_fold():
    splits = ListedSplits(train=[4, 2], validation=[0, 1], test=[8, 9])
    assert class_splits(splits, data(range(10)), 0) == ([4, 2], [0, 1], [8, 9])


@pytest.mark.parametrize("count", [17, 20, 100])
@pytest.mark.parametrize("folds", [2, 3, 4])
@pytest.mark.parametrize("official", [False, True])
def test_every_class_validates_once_and_never_with_the_test_classes(count, folds, official):
    classes = np.arange(count) * 3
    test = classes[count // 2 :]
    if official:
        test = classes[1::2]
    splits = FoldedSplits(test="official" if official else "second_half", folds=folds)
    made = [class_splits(splits, data(classes, test), fold) for fold in range(folds)]
    for one in made:
        assert one.test == test.tolist()
        assert sorted(one.train + one.validation + one.test) == classes.tolist()
    # Blocks are in order, and their sizes differ by at most one class.
    rest = [c for c in classes if c not in test]
    assert [label for one in made for label in one.validation] == rest
    sizes = {len(one.validation) for one in made}
    assert max(sizes) - min(sizes) <= 1


def test_half_of_an_odd_number():
    splits = FoldedSplits(folds=2)
    assert class_splits(splits, data(range(9)), 1) == ([0, 1], [2, 3], [4, 5, 6, 7, 8])


def test_what_cannot_be_split():
    with pytest.raises(InputError, match=r"no official test classes: use second_half"):
        class_splits(FoldedSplits(test="official"), data(range(20)), 0)
    with pytest.raises(InputError, match=r"7 classes beside .* 4 folds .* lower folds"):
        class_splits(FoldedSplits(), data(range(15)), 0)
    with pytest.raises(InputError, match=r"2 folds .*: list train, validation and test instead"):
        class_splits(FoldedSplits(folds=2), data(range(6)), 0)
