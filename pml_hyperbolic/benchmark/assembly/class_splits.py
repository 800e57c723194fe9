"""ClassSplits: the training, validation and test classes of one fold."""

from typing import NamedTuple

import numpy as np

from ...errors import InputError
from ..config import FoldedSplits, ListedSplits
from ..datasets import LabelledData


class ClassSplits(NamedTuple):
    """Disjoint sets of classes of one data set.

    Attributes:
        train, validation, test: the classes, at least two in each set.
    """

    train: list[int]
    validation: list[int]
    test: list[int]


def class_splits(splits: ListedSplits | FoldedSplits, data: LabelledData, fold: int) -> ClassSplits:
    """Return the classes of one fold.

    Listed splits have a single fold. Folded splits remove the test classes, divide the others into
    contiguous blocks, and validate on block number ``fold``. Neighbouring classes are often
    similar (birds of one family), so validation classes differ more from training classes than
    they would under a random choice.

    Args:
        splits: of the protocol.
        data: provides the labels and the official test classes.
        fold: number of the fold, from 0.

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
