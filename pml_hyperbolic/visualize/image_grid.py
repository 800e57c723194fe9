"""Thumbnails in rows on one axes: what the figures with photos share."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.typing import LineStyleType

from ..errors import InputError


def image_array(image: Any, name: str) -> np.ndarray:
    """An image as matplotlib shows it: (H, W) or (H, W, 3 or 4), bytes or floats in [0, 1].

    Args:
        image: anything that numpy turns into an array, such as a PIL image.
        name: which image it is, for the message.

    Raises:
        InputError: another shape.
    """
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] in (3, 4)
    if not (grey or colour) or 0 in array.shape:
        raise InputError(
            f"{name} must be an image (H, W) or (H, W, 3 or 4), got shape {array.shape}"
        )
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    return array if array.dtype == np.uint8 else np.clip(array.astype(float), 0, 1)


def grid_axes(figure, columns: float, rows: float) -> Axes:
    """Axes without decoration on which one unit is one cell; y grows downward."""
    axes = figure.add_subplot()
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return axes


def draw_thumbnail(
    axes: Axes,
    image: np.ndarray,
    column: float,
    row: float,
    *,
    size: float = 0.9,
    frame: str | None = None,
    line_style: LineStyleType = "-",
    gid: str | None = None,
) -> None:
    """Draw an image centred in the cell at (column, row), its longer side ``size`` of a cell.

    Args:
        frame: colour of the frame; None for none.
        line_style: of the frame.
        gid: put on the frame, for whoever looks the artist up.
    """
    height, width = image.shape[:2]
    scale = size / max(height, width)
    width, height = width * scale, height * scale
    left, top = column + (1 - width) / 2, row + (1 - height) / 2
    axes.imshow(
        image,
        extent=(left, left + width, top + height, top),
        cmap="gray" if image.ndim == 2 else None,
        aspect="equal",
        zorder=1,
    )
    if frame is not None:
        axes.add_patch(
            Rectangle(
                (left, top),
                width,
                height,
                fill=False,
                edgecolor=frame,
                linewidth=2.0,
                linestyle=line_style,
                zorder=2,
                clip_on=False,
                gid=gid,
            )
        )
