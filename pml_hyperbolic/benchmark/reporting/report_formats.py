"""A report as text, Markdown, CSV or LaTeX."""

import csv
import io
import math
from pathlib import Path

from ...errors import InputError
from ...files import write_text
from .report import Report
from .tables import Table

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
}
_ESCAPE_LATEX = str.maketrans(_LATEX)
_ESCAPE_MARKDOWN = str.maketrans({"|": r"\|", "\n": " "})


def to_text(report: Report) -> str:
    """Return aligned columns for a terminal."""
    blocks = [_aligned(table, title=i > 0) for i, table in enumerate(report.tables)]
    blocks += ["\n".join(lines) for lines in (report.findings, report.notes) if lines]
    return "\n\n".join(blocks)


def to_markdown(report: Report) -> str:
    """Return tables and paragraphs of Markdown."""
    blocks = []
    for i, table in enumerate(report.tables):
        if i:
            blocks.append(f"**{table.title}**")
        lines = [
            "| " + " | ".join(cell.translate(_ESCAPE_MARKDOWN) for cell in cells) + " |"
            for cells in (table.header, *table.rows)
        ]
        lines.insert(1, "|" + " --- |" * len(table.header))
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, *report.findings, *report.notes])


def to_csv(report: Report) -> str:
    """Return a line for each method and space, numbers unrounded and unknown ones empty."""
    columns = list(dict.fromkeys(name for record in report.records for name in record))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for record in report.records:
        writer.writerow({name: _csv_cell(value) for name, value in record.items()})
    return stream.getvalue()


def to_latex(report: Report) -> str:
    r"""Return tables for ``\input``; the preamble needs booktabs and graphicx."""
    parts = [r"% needs \usepackage{booktabs,graphicx}"]
    for i, table in enumerate(report.tables):
        columns = "l" * len(table.header)
        below = [*report.findings, *report.notes] if i == 0 else []
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


def _aligned(table: Table, *, title):
    lines = [table.header, *table.rows]
    widths = [max(len(cells[i]) for cells in lines) for i in range(len(table.header))]
    texts = [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in lines
    ]
    texts.insert(1, "-" * len(texts[0]))
    return "\n".join([table.title, *texts] if title else texts)


def _csv_cell(value):
    return "" if isinstance(value, float) and math.isnan(value) else value


def _latex(text):
    return " ".join(text.split()).translate(_ESCAPE_LATEX)


def _latex_row(cells):
    return " & ".join(map(_latex, cells)) + r" \\"
