"""The table of ancestors, against a look-up sample by sample."""

import pytest
import torch

from pml_hyperbolic.functional import class_ancestors

# Class, family, order of shuffled samples; families and orders are numbered with gaps.
LABELS = torch.tensor(
    [[2, 7, 4], [0, 3, 4], [3, 9, 1], [1, 3, 4], [2, 7, 4], [3, 9, 1], [0, 3, 4]], dtype=torch.int32
)


def test_every_sample_finds_its_groups():
    table = class_ancestors(LABELS)
    assert table.dtype == torch.int64
    assert table.shape == (4, 3)
    assert table[:, 0].tolist() == [0, 1, 2, 3]
    names = ({0: 0, 1: 1, 2: 2, 3: 3}, {3: 0, 7: 1, 9: 2}, {1: 0, 4: 1})
    for row in LABELS.tolist():
        assert table[row[0]].tolist() == [names[i][value] for i, value in enumerate(row)]


def test_classes_alone_are_their_own_table():
    assert class_ancestors(torch.tensor([[1], [0], [1]])).tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(3), r"integer labels \(N, L\).*float32 of shape \(3,\)"),
        (torch.zeros(3, dtype=torch.long), r"of shape \(3,\)"),
        (torch.zeros(0, 2, dtype=torch.long), r"of shape \(0, 2\)"),
        (torch.tensor([[0, 1], [1, 1], [0, 2]]), "class 0 has samples in several groups"),
        (torch.tensor([[0, 1], [2, 1]]), "without gaps, got 2 classes from 0 to 2: renumber"),
        (torch.tensor([[1, 1], [2, 1]]), "without gaps, got 2 classes from 1 to 2"),
    ],
)
def test_other_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        class_ancestors(labels)
