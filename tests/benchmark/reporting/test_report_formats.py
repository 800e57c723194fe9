"""Every format can be read back, however awkward its content."""

import csv
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from pml_hyperbolic.benchmark.reporting.report import Report
from pml_hyperbolic.benchmark.reporting.report_formats import (
    to_csv,
    to_latex,
    to_markdown,
    to_text,
    write_report,
)
from pml_hyperbolic.benchmark.reporting.tables import Passage, Table
from pml_hyperbolic.errors import InputError

AWKWARD = r"a_b & 50% of $x^2 ~ {#1} \n | <0.001"


@pytest.fixture
def report():
    """Two tables with every character that is special in some format."""
    return Report(
        tables=[
            Table("Comparison", ["method", "MAP@R"], [["a_b", "50.0 ± 1.5"], [AWKWARD, "-"]]),
            Table("Recall at K", ["method", "R@10"], [["a_b", "90.0"]]),
        ],
        findings=["Curvature control, a_b: 95% of it."],
        notes=["In percent.", "Check overridden (seeds): a_b lacks one."],
        records=[
            {"method": AWKWARD, "score": 0.1 + 0.2, "p": float("nan")},
            {"method": 'with "quotes", and\nlines', "score": 1e-17, "more": 3},
        ],
    )


def test_text(report):
    lines = to_text(report).splitlines()
    assert lines[0].split() == ["method", "MAP@R"]
    assert set(lines[1]) == {"-"}
    # Columns are aligned.
    assert lines[2].index("50.0 ± 1.5") == lines[0].index("MAP@R")
    assert "Recall at K" in lines
    assert lines[-3:] == ["", *report.notes]
    assert report.findings[0] in lines


def test_markdown(report):
    text = to_markdown(report)
    lines = text.splitlines()
    assert lines[0] == "| method | MAP@R |"
    assert lines[1] == "| --- | --- |"
    # Bars within cells are escaped, so every line of a table has the same number of bars.
    table = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {3}
    assert all(f"\n\n{paragraph}" in text for paragraph in [*report.findings, *report.notes])
    assert "**Recall at K**" in lines


def test_csv_reads_back(report):
    rows = list(csv.DictReader(to_csv(report).splitlines(keepends=True)))
    assert [row["method"] for row in rows] == [r["method"] for r in report.records]
    assert [float(row["score"]) for row in rows] == [0.1 + 0.2, 1e-17]
    assert [row["p"] for row in rows] == ["", ""]
    assert [row["more"] for row in rows] == ["", "3"]


HOSTILE = "\x1b]0;x\x07<img src=x>[a](javascript:b)\u202e`*"
SHOWN = r"\x1b]0;x\x07<img src=x>[a](javascript:b)\u202e`*"
IN_MARKDOWN = r"\\x1b\]0;x\\x07\<img src=x>\[a\](javascript:b)\\u202e\`\*"


@pytest.fixture
def hostile(report):
    """A report in which a stranger chose every text."""
    passage = Passage(HOSTILE, [HOSTILE], [Table(HOSTILE, [HOSTILE], [[HOSTILE]])], [HOSTILE])
    return replace(
        report,
        geometry=passage,
        hierarchy=passage,
        tables=[Table(HOSTILE, ["method", HOSTILE], [[HOSTILE, "\n"]])],
        findings=[HOSTILE],
        notes=[HOSTILE, "# one\n# two"],
        records=[{"method": "=1+1", "space": "@x", "-level": -0.5, "+n": 3, "\tt": "\tx"}],
    )


def test_terminals_are_shown_controls_and_obey_none(hostile):
    text = to_text(hostile)
    assert text.count(SHOWN) == 15
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert text.splitlines()[-1] == r"# one\n# two"


def test_markdown_renders_text_as_text(hostile):
    text = to_markdown(hostile)
    assert text.count(IN_MARKDOWN) == 15
    assert "<img" not in text.replace(r"\<img", "")
    assert text.splitlines()[-1] == r"\# one\\n# two"


def test_latex_has_no_controls(hostile):
    text = to_latex(hostile)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert SHOWN in plain(text)


def test_spreadsheets_compute_nothing(hostile):
    header, row = csv.reader(to_csv(hostile).splitlines())
    assert header == ["method", "space", "'-level", "'+n", "'\tt"]
    # Numbers are numbers.
    assert row == ["'=1+1", "'@x", "-0.5", "3", "'\tx"]


def plain(latex):
    """Return what LaTeX would print for escaped text."""
    for name, character in (
        (r"\textbackslash{}", "\0"),
        (r"\textasciitilde{}", "~"),
        (r"\textasciicircum{}", "^"),
        (r"$\pm$", "±"),
        ("$<$", "<"),
        ("$>$", ">"),
    ):
        latex = latex.replace(name, character)
    return re.sub(r"\\([&%$#_{}])", r"\1", latex).replace("\0", "\\")


def test_latex_is_well_formed(report):
    text = to_latex(report)
    assert text.isascii()
    depth = 0
    for bracket in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if bracket == "{" else -1
        assert depth >= 0
    assert depth == 0
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    # Dollars come in pairs, and no special character is left unescaped.
    body = re.sub(r"\$\\pm\$|\$<\$|\$>\$", "", text)
    assert not re.search(r"(?<!\\)[$#_^~]", body)
    assert "%" not in re.sub(r"\\%", "", body.split("\n", 1)[1])


def test_latex_reads_back(report):
    text = to_latex(report)
    *parts, _ = text.split(r"\end{table}")
    for table, part in zip(report.tables, parts, strict=True):
        (columns,) = re.findall(r"\\begin\{tabular\}\{(l+)\}", part)
        assert len(columns) == len(table.header)
        lines = [line.removesuffix(r" \\") for line in part.splitlines() if line.endswith(r"\\")]
        cells = [[plain(cell) for cell in re.split(r" (?<!\\)& ", line)] for line in lines]
        assert cells == [table.header, *table.rows]
        assert part.index(r"\toprule") < part.index(r"\midrule") < part.index(r"\bottomrule")
    for paragraph in (*report.findings, *report.notes):
        assert paragraph in plain(text)


def test_files_are_written(report, tmp_path):
    files = write_report(report, tmp_path / "new" / "folder")
    assert [file.name for file in files] == ["report.md", "report.csv", "report.tex"]
    assert files[0].read_text() == to_markdown(report) + "\n"
    assert files[1].read_text() == to_csv(report)
    assert files[2].read_text() == to_latex(report)


def test_a_folder_that_cannot_be_created_is_refused(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another --write"):
        write_report(report, tmp_path / "file")


def test_reports_do_not_import_torch():
    """Statistics and reports work on plain numbers, so none of their modules needs torch."""
    program = (
        "import sys, pml_hyperbolic.benchmark.reporting.report_formats\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    loaded = set(answer.stdout.split())
    assert {"pml_hyperbolic", "scipy", "numpy"} <= loaded
    assert not loaded & {"torch", "pytorch_metric_learning"}
