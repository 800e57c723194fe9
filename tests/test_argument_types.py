"""Options take what they say, and refuse the rest in words."""

import argparse

import pytest

from pml_hyperbolic.argument_types import count


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("12", 12), ("007", 7)])
def test_counts(text, number):
    assert count(text) == number


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "one"])
def test_anything_else_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="a whole number of at least 1, got"):
        count(text)
