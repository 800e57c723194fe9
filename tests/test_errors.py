"""Suggestions for unknown names."""

import pytest

from pml_hyperbolic.errors import nearest


@pytest.mark.parametrize(
    ("name", "known", "answer"),
    [
        ("epoch", ["epochs", "seeds"], "did you mean 'epochs'?"),
        ("EPOCHS", ["epochs", "seeds"], "did you mean 'epochs'?"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("zzz", [], "none is known here, leave it out"),
    ],
)
def test_nearest(name, known, answer):
    assert nearest(name, known) == answer
