"""Settings of augmentation."""

import pytest

from pml_hyperbolic.images import Augmentation, RandomCrop


def test_nothing_is_augmented_by_default():
    assert Augmentation() == Augmentation(None, 0, False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCrop(scale=(0.0, 1.0)), r"scale must satisfy .*, got \(0.0, 1.0\)"),
        (lambda: RandomCrop(scale=(0.5, 1.5)), "scale must satisfy"),
        (lambda: RandomCrop(ratio=(2.0, 1.0)), "ratio must satisfy"),
        (lambda: Augmentation(random_shift=-1), "random_shift must be at least 0, got -1"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
