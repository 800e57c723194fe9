"""Text from configs, class names, archives and rows is data wherever it is shown or written.

A name may hold anything: sequences that a terminal obeys, a formula that a spreadsheet computes,
markup that a page renders. Each function here makes text harmless for one kind of reader.
"""

import re
import sys
from typing import Any, TextIO

# Controls, marks that reverse the direction of what follows, separators of lines, and halves of
# pairs of surrogates, which stand for bytes of file names that are not UTF-8.
_NOT_PRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
# What Markdown gives a meaning anywhere in a line, and what it takes for HTML.
_MARKDOWN = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)|<(?=[A-Za-z/!?])|&(?=#|\w+;)")
# What it gives a meaning at the beginning of a line.
_MARKDOWN_START = re.compile(r"^(?=#{1,6}\s|>|[-+]\s|=+$|-+$)|^(\d+)(?=[.)]\s)")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    """Return one line of text with its control characters written as ``\\x1b``, ``\\n`` etc."""
    return _NOT_PRINTABLE.sub(_as_escape, text)


def printable_lines(text: str) -> str:
    """Return lines of text, each as :func:`printable` returns it."""
    return "\n".join(map(printable, text.split("\n")))


def show(text: str, stream: TextIO | None = None) -> None:
    """Print lines of text, each as :func:`printable` returns it.

    Args:
        text: one line or several.
        stream: to print to. Default: stdout.
    """
    print(printable_lines(text), file=sys.stdout if stream is None else stream)


def show_line(text: str, stream: TextIO | None = None) -> None:
    """Print text as one line, whatever line breaks a name in it has."""
    show(printable(text), stream)


def markdown(text: str) -> str:
    """Return text so that Markdown shows it as it is, within a line or a table."""
    return _MARKDOWN.sub(lambda found: f"\\{found[0]}", printable(text))


def markdown_paragraph(text: str) -> str:
    """Return text so that Markdown shows it as a paragraph, whatever it begins with."""
    return _MARKDOWN_START.sub(lambda found: f"{found[1] or ''}\\", markdown(text))


def markdown_code(text: str) -> str:
    """Return one line of text as code of Markdown, whatever backticks are in it."""
    text = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    # A space between a fence and a backtick of the text is not shown.
    space = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{fence}{space}{text}{space}{fence}"


def csv_cell(value: Any) -> Any:
    """Return a cell for the csv module: text that a spreadsheet would compute begins with '.

    Numbers and other values that are no text come back as they are.
    """
    if not isinstance(value, str):
        return value
    return f"'{value}" if value.startswith(_FORMULA_STARTS) else value


def _as_escape(found):
    code = ord(found[0])
    names = {9: "\\t", 10: "\\n", 13: "\\r"}
    return names.get(code) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
