"""Section: a part of the report page, made of sentences, tables and figures."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..reporting.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Pixels per inch of figures that hold photographs: sharp on a screen of twice the density.
_DOTS_PER_INCH = 160


@dataclass(frozen=True)
class PageFigure:
    """A figure as the page embeds it.

    Args:
        source: data URI of the picture.
        caption: what the figure shows and how to read it.
        alternative: the text that stands for the figure where it cannot be seen.
        width: in CSS pixels, at which it is shown at most.
    """

    source: str
    caption: str
    alternative: str
    width: int


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own.

    Args:
        name: identifies the section in links; letters and hyphens.
        title: heading.
        sentences: paragraphs, in order.
        figures: shown after the sentences.
        tables: shown after the figures.
        notes: how to read what is above, in smaller print.
        commands: to be typed into a terminal.
        details: title -> text that is folded until the reader opens it.
        problems: what could not be shown, and why.
    """

    name: str
    title: str
    sentences: Sequence[str] = ()
    figures: Sequence[PageFigure] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    commands: Sequence[str] = ()
    details: dict[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not any(
            (
                self.sentences,
                self.figures,
                self.tables,
                self.notes,
                self.commands,
                self.details,
                self.problems,
            )
        )


def page_figure(
    figure: "Figure", caption: str, alternative: str, *, photographs: bool = False
) -> PageFigure:
    """Turn a matplotlib figure into a picture that the page embeds.

    Args:
        figure: is not changed.
        caption: what it shows.
        alternative: text for readers who cannot see it.
        photographs: embed pixels (PNG) instead of lines (SVG), which photographs and thousands of
            points need to stay small. Default False.
    """
    from matplotlib import rc_context

    stream = io.BytesIO()
    # A fixed salt gives the same identifiers, and so the same page, every time.
    with rc_context({"svg.hashsalt": "pml_hyperbolic", "svg.fonttype": "path"}):
        if photographs:
            figure.savefig(stream, format="png", dpi=_DOTS_PER_INCH)
        else:
            figure.savefig(stream, format="svg", metadata={"Date": None})
    kind = "png" if photographs else "svg+xml"
    encoded = base64.b64encode(stream.getvalue()).decode("ascii")
    width, _ = figure.get_size_inches()
    return PageFigure(
        f"data:image/{kind};base64,{encoded}", caption, alternative, round(96 * width)
    )
