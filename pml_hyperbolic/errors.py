"""InputError: the user's input is wrong, in one line that says how to mend it."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["InputError"]


class InputError(ValueError):
    """What was given, what is expected and how to mend it; the command line exits with 2."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A half-sentence that helps with an unknown name: the nearest known ones, else all.

    Args:
        name: what was given.
        known: the names that would have been right.
    """
    known = sorted(known)
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    if not close:
        folded = {k.lower(): k for k in known}
        close = [folded[c] for c in get_close_matches(name.lower(), folded, n=1, cutoff=0.5)]
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else "none is known here, leave it out"
