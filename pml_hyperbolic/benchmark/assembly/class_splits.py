"""ClassSplits: which classes train, select and test in one fold."""

from typing import NamedTuple

import numpy as np

from ...errors import InputError
from ..config import FoldedSplits, ListedSplits
from ..datasets import ImageData


class ClassSplits(NamedTuple):
    """Disjoint classes of one data set.

    Attributes:
        train, validation, test: classes, at least two each.
    """

    train: list[int]
    validation: list[int]
    test: list[int]


def class_splits(splits: ListedSplits | FoldedSplits, data: ImageData, fold: int) -> ClassSplits:
    """The classes of one fold.

    Listed splits are one fold. Folded ones take the test classes away, cut the rest into
    contiguous blocks of classes in order, and validate on block number ``fold``: neighbouring
    classes are often alike (birds of one family), so blocks keep the validation classes further
    from the training ones than a random choice would.

    Args:
        splits: of the protocol.
        data: the data set, whose labels and official test classes count.
        fold: from 0.

    Raises:
        InputError: the data set has no official test classes, or too few classes.
    """
    if isinstance(splits, ListedSplits):
        return ClassSplits(splits.train, splits.validation, splits.test)
    classes = np.unique(data.labels[:, 0])
    name = type(data).__name__
    if splits.test == "official":
        if data.test_classes is None:
            raise InputError(
                f"protocol.splits.test: {name} has no official test classes: use second_half, or "
                f"list train, validation and test"
            )
        is_test = np.isin(classes, data.test_classes)
    else:
        is_test = np.arange(len(classes)) >= len(classes) // 2
    test, rest = classes[is_test], classes[~is_test]
    blocks = np.array_split(rest, splits.folds)
    if len(test) < 2 or len(blocks[-1]) < 2:
        raise InputError(
            f"protocol.splits.folds: {name} has {len(rest)} classes beside its {len(test)} test "
            f"classes, and {splits.folds} folds need at least two classes each: "
            f"{'lower folds' if splits.folds > 2 else 'list train, validation and test instead'}"
        )
    validation = blocks[fold]
    train = np.setdiff1d(rest, validation)
    return ClassSplits(train.tolist(), validation.tolist(), test.tolist())
