"""Text of strangers is harmless for terminals, spreadsheets and readers of Markdown."""

import io

import pytest

from pml_hyperbolic.escaping import (
    csv_cell,
    markdown,
    markdown_code,
    markdown_paragraph,
    printable,
    show,
    show_line,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("proxy_anchor ± 0.3 °é漢", "proxy_anchor ± 0.3 °é漢"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\x00b\x07c\x7fd\x9be", "a\\x00b\\x07c\\x7fd\\x9be"),
        ("one\ntwo\r\tthree", "one\\ntwo\\r\\tthree"),
        ("exe\u202egpj.bat\u2066\u200f", "exe\\u202egpj.bat\\u2066\\u200f"),
        ("a\u2028b\ufeff", "a\\u2028b\\ufeff"),
        # A file name whose bytes are not UTF-8.
        ("caf\udce9", "caf\\udce9"),
    ],
)
def test_printable(text, expected):
    assert printable(text) == expected
    assert printable(expected) == expected
    expected.encode()


def test_show_keeps_lines_and_show_line_does_not(capsys):
    show("a\x1b\nb")
    show_line("a\nnote: b")
    assert capsys.readouterr().out == "a\\x1b\nb\na\\nnote: b\n"
    stream = io.StringIO()
    show_line("a", stream)
    assert stream.getvalue() == "a\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("proxy_anchor/euclidean, p <0.001 & 5 > 3", "proxy_anchor/euclidean, p <0.001 & 5 > 3"),
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)>"),
        ("</td><!-- x", r"\</td>\<!-- x"),
        ("[here](javascript:alert(1))", r"\[here\](javascript:alert(1))"),
        ("a | b", r"a \| b"),
        ("a\\|b", r"a\\\|b"),
        ("*bold* _it_ `code` ~~no~~", r"\*bold\* \_it\_ \`code\` \~\~no\~\~"),
        ("&lt; &#60;", r"\&lt; \&#60;"),
        ("a\n# b", r"a\\n# b"),
    ],
)
def test_markdown(text, expected):
    assert markdown(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# heading", r"\# heading"),
        ("- item", r"\- item"),
        ("+ item", r"\+ item"),
        ("> quote", r"\> quote"),
        ("12. item", r"12\. item"),
        ("---", r"\---"),
        ("-0.5 and #3", "-0.5 and #3"),
        ("1.5 is a number", "1.5 is a number"),
    ],
)
def test_paragraphs_of_markdown(text, expected):
    assert markdown_paragraph(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', '`{"a": 1}`'),
        ("a`b", "``a`b``"),
        ("``", "``` `` ```"),
        ("", "`  `"),
        ("a\n\nb", "`a\\n\\nb`"),
    ],
)
def test_code_of_markdown(text, expected):
    assert markdown_code(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("a=b", "a=b"),
        ("", ""),
        (-1.5, -1.5),
        (-2, -2),
        (None, None),
    ],
)
def test_csv_cells(value, expected):
    assert csv_cell(value) == expected
    assert type(csv_cell(value)) is type(value)
