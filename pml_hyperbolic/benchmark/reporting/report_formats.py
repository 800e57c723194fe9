"""A report as text, Markdown, CSV or LaTeX."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import InputError
from ...escaping import csv_cell, markdown, markdown_paragraph, printable
from ...files import write_text
from .report import Report
from .tables import Passage, Table

PAGE_FILE = "report.html"
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "†": r"$\dagger$",
}
_ESCAPE_LATEX = str.maketrans(_LATEX)


def to_text(report: Report) -> str:
    """Return aligned columns for a terminal."""
    first = report.geometry is None
    blocks = [] if first else _text_of(report.geometry, report.findings)
    blocks += [_aligned(table, title=i > 0 or not first) for i, table in enumerate(report.tables)]
    blocks += _text_of(report.hierarchy)
    blocks += ["\n".join(map(printable, lines)) for lines in _closing(report) if lines]
    return "\n\n".join(blocks)


def to_markdown(report: Report) -> str:
    """Return tables and paragraphs of Markdown."""
    blocks = _markdown_of(report.geometry, report.findings)
    for i, table in enumerate(report.tables):
        if i or blocks:
            blocks.append(f"**{markdown(table.title)}**")
        blocks.append(_markdown_table(table))
    blocks += _markdown_of(report.hierarchy)
    closing = [markdown_paragraph(line) for lines in _closing(report) for line in lines]
    return "\n\n".join([*blocks, *closing])


def to_csv(report: Report) -> str:
    """Return a line for each method and space, numbers unrounded and unknown ones empty."""
    columns = list(dict.fromkeys(name for record in report.records for name in record))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    for record in report.records:
        writer.writerow(_csv_cell(record.get(name, "")) for name in columns)
    return stream.getvalue()


def to_latex(report: Report) -> str:
    r"""Return tables for ``\input``; the preamble needs booktabs and graphicx."""
    parts = [r"% needs \usepackage{booktabs,graphicx}"]
    closing = [line for lines in _closing(report) for line in lines]
    tables = []
    for passage, more in ((report.geometry, report.findings), (report.hierarchy, [])):
        lines = [] if passage is None else [*passage.sentences, *more, *passage.problems]
        if passage is not None and passage.tables:
            tables.append([(replace(t, title=passage.title), lines) for t in passage.tables])
        else:
            tables.append([])
            closing = [*lines, *closing]
    opening, last = tables
    middle = [(table, closing if i == 0 else []) for i, table in enumerate(report.tables)]
    for table, below in (*opening, *middle, *last):
        columns = "l" * len(table.header)
        parts += [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(table.title)}}}",
            # The table is as wide as the text, however many columns it has.
            rf"\resizebox{{\linewidth}}{{!}}{{\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _latex_row(table.header),
            r"\midrule",
            *map(_latex_row, table.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            *(rf"\par\smallskip{{\footnotesize {_latex(line)}\par}}" for line in below),
            r"\end{table}",
        ]
    return "\n".join(parts) + "\n"


def write_report(report: Report, folder: Path, page: str | None = None) -> list[Path]:
    """Write report.md, report.csv and report.tex into a folder, which is created if necessary.

    Args:
        report: what to write.
        folder: where.
        page: HTML to write beside them as report.html. Default none.

    Returns:
        The paths of the files.

    Raises:
        InputError: the folder cannot be written.
    """
    contents = {
        "report.md": to_markdown(report) + "\n",
        "report.csv": to_csv(report),
        "report.tex": to_latex(report),
    }
    if page is not None:
        contents[PAGE_FILE] = page
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_text(folder / name, content)
    except OSError as error:
        raise InputError(
            f"cannot write the report into {folder}: {error.strerror}; choose another --write"
        ) from None
    return [folder / name for name in contents]


def _closing(report: Report):
    """Findings, unless they stand with the geometry, and notes."""
    return [[] if report.geometry is not None else report.findings, report.notes]


def _text_of(passage: Passage | None, more: Sequence[str] = ()):
    """The blocks of a passage: its heading, its tables, and its sentences with some more."""
    if passage is None:
        return []
    tables = [_aligned(table, title=False) for table in passage.tables]
    lines = [*passage.sentences, *more, *passage.problems]
    blocks = [*tables, *(["\n".join(map(printable, lines))] if lines else [])]
    return [f"{printable(passage.title)}\n{blocks[0]}", *blocks[1:]] if blocks else []


def _markdown_of(passage: Passage | None, more: Sequence[str] = ()):
    if passage is None:
        return []
    lines = [*passage.sentences, *more, *passage.problems]
    blocks = [*map(_markdown_table, passage.tables), *map(markdown_paragraph, lines)]
    return [f"**{markdown(passage.title)}**", *blocks] if blocks else []


def _markdown_table(table):
    lines = [
        "| " + " | ".join(map(markdown, cells)) + " |" for cells in (table.header, *table.rows)
    ]
    lines.insert(1, "|" + " --- |" * len(table.header))
    return "\n".join(lines)


def _aligned(table: Table, *, title):
    lines = [list(map(printable, cells)) for cells in (table.header, *table.rows)]
    widths = [max(len(cells[i]) for cells in lines) for i in range(len(table.header))]
    texts = [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in lines
    ]
    texts.insert(1, "-" * len(texts[0]))
    return "\n".join([printable(table.title), *texts] if title else texts)


def _csv_cell(value):
    return "" if isinstance(value, float) and math.isnan(value) else csv_cell(value)


def _latex(text):
    return printable(" ".join(text.split())).translate(_ESCAPE_LATEX)


def _latex_row(cells):
    return " & ".join(map(_latex, cells)) + r" \\"
