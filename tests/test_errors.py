"""Messages in one line, and suggestions for unknown names."""

import pytest

from pml_hyperbolic.errors import message_of, nearest


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


def test_a_message_has_one_line_and_is_never_empty():
    assert message_of(RuntimeError("out of\n  memory")) == "out of memory"
    assert message_of(RuntimeError("out of\n  memory"), 6) == "out of"
    assert message_of(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert message_of(ValueError(" \n ")) == "ValueError"
