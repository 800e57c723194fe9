"""From sections to one HTML file, in which all text is escaped and nothing is loaded."""

import importlib.resources
from collections.abc import Sequence

from ...escaping import printable_lines
from .section import Section

_TEMPLATE = "report_page.html.j2"


def render_page(title: str, subtitle: str, sections: Sequence[Section], colophon: str) -> str:
    """Return a self-contained HTML page; sections without content are left out.

    Args:
        title: heading of the page.
        subtitle: one line below it.
        sections: in their order.
        colophon: last line.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_shown
    )
    source = importlib.resources.files(__package__).joinpath(_TEMPLATE).read_text("utf-8")
    return environment.from_string(source).render(
        title=title,
        subtitle=subtitle,
        sections=[section for section in sections if not section.is_empty],
        colophon=colophon,
    )


def _shown(value):
    """Write control characters as escapes; what is markup already comes from the template."""
    return printable_lines(value) if type(value) is str else value
