"""What can be computed of a rendered figure: texts that overlap or leave it."""

import itertools
from unittest import mock

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

_SLACK = 1.5  # pixels: boxes include a margin around the ink


def texts_of(figure):
    """All visible texts that are not empty."""
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]


def words_of(figure):
    """Everything that is written on a figure, as one string."""
    return "\n".join(text.get_text().replace("\n", " ") for text in texts_of(figure))


def corners(text, renderer):
    """The (4, 2) corners of a text's box, turned with the text."""
    angle = text.get_rotation()
    text.set_rotation(0)
    box = text.get_window_extent(renderer)
    text.set_rotation(angle)
    points = np.array([(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)])
    points += np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * _SLACK
    if angle % 90:
        anchor = text.get_transform().transform(text.get_position())
        turn = np.radians(angle)
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        return (points - anchor) @ matrix.T + anchor
    box = text.get_window_extent(renderer)
    return np.array([(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)]) + (
        np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * _SLACK
    )


def boxes_meet(a, b):
    """Whether two rectangles (4, 2) share an area: no side of either separates them."""
    for box in (a, b):
        for edge in (box[1] - box[0], box[2] - box[1]):
            normal = np.array([-edge[1], edge[0]])
            first, second = a @ normal, b @ normal
            if first.max() <= second.min() or second.max() <= first.min():
                return False
    return True


def assert_legible(figure, smallest=6):
    """No two texts overlap, none leaves the figure, and none is smaller than ``smallest``."""
    canvas = FigureCanvasAgg(figure)
    drawn = set()
    draw = Text.draw

    def recorded(text, *arguments, **options):
        drawn.add(text)
        return draw(text, *arguments, **options)

    # Ticks beyond an axis' limits exist, but are not drawn.
    with mock.patch.object(Text, "draw", recorded):
        canvas.draw()
    renderer = canvas.get_renderer()
    texts = [text for text in texts_of(figure) if text in drawn]
    assert texts
    boxes = [corners(text, renderer) for text in texts]
    width, height = canvas.get_width_height()
    for text, box in zip(texts, boxes, strict=True):
        assert text.get_fontsize() >= smallest, text
        inside = (box >= 0).all() and (box[:, 0] <= width).all() and (box[:, 1] <= height).all()
        assert inside, f"{text.get_text()!r} leaves the figure: {box} of {width} x {height}"
    for (a, first), (b, second) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        assert not boxes_meet(first, second), f"{a.get_text()!r} overlaps {b.get_text()!r}"
