"""The size of a network's input."""

import pytest

from pml_hyperbolic.images import InputSize


def test_the_short_side_is_the_size_unless_given():
    assert InputSize(8).resized_side == 8
    assert InputSize(8, 12).resized_side == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "size must be at least 1, got 0"), ((8, 7), r"at least size \(8\), .*: got 7")],
)
def test_impossible_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        InputSize(*arguments)
