"""InputError: the user's input is wrong, in one line that says how to mend it."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["InputError"]


class InputError(ValueError):
    """What was given, what is expected and how to mend it; the command line exits with 2."""


def message_of(error: BaseException, longest: int | None = None) -> str:
    """The message of an error in one line; the name of its type where it has none.

    Args:
        error: whose message may have line breaks.
        longest: the number of characters that are kept. Default: all.
    """
    return " ".join(str(error).split())[:longest] or type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str:
    """A half-sentence that helps with an unknown name: the nearest known one, else all.

    Args:
        name: what was given.
        known: the names that would have been right.
    """
    known = sorted(known)
    close = similar(name, known)
    if close is not None:
        return f"did you mean {close!r}?"
    return f"known: {', '.join(known)}" if known else "none is known here, leave it out"


def similar(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like the one given, None if none is like it.

    Args:
        name: what was given.
        known: the names that would have been right.
    """
    known = list(known)
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    if not close:
        folded = {k.lower(): k for k in known}
        close = [folded[c] for c in get_close_matches(name.lower(), folded, n=1, cutoff=0.5)]
    return close[0] if close else None
