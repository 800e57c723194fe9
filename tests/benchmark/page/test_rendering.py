"""Whatever text a section holds, the page shows it and does not obey it."""

import pytest

from pml_hyperbolic.benchmark.page.rendering import render_page
from pml_hyperbolic.benchmark.page.section import Section

pytest.importorskip("jinja2")


def test_text_is_shown_as_it_is():
    hostile = "<img src=x>\x1b[31m\u202e"
    section = Section("a", hostile, [hostile], notes=[hostile], details={"x": "one\ntwo\x07"})
    page = render_page(hostile, hostile, [section], hostile)
    assert "<img src=x" not in page
    assert r"&lt;img src=x&gt;\x1b[31m\u202e" in page
    # Lines stay lines.
    assert "one\ntwo\\x07" in page
    assert "\x1b" not in page
