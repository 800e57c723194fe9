"""Histograms of radii against the clip radius, by epoch."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..errors import InputError
from .style import COLORS, WIDTH, new_figure, note, shown, styled

_OVERLAP = 0.85  # height of the highest bar, in rows


@styled
def radii(
    counts: np.ndarray,
    edges: np.ndarray,
    epochs: Sequence[int | str],
    *,
    row_name: str = "epoch",
    limit: float | None,
    saturated: Sequence[float] | None = None,
    radius_name: str = "distance to the origin",
    title: str = "",
) -> Figure:
    """How radii move toward the clip radius during training: a row an epoch, earliest on top.

    Rows may also be methods, in the order given.

    Args:
        counts: (E, B) points in each bin at each epoch, E >= 1.
        edges: (B + 1,) edges of the bins, ascending, in the unit of ``limit``.
        epochs: (E,) their names.
        row_name: what the rows are, title of the vertical axis. Default "epoch".
        limit: the radius of a clipped point (``2 * clip_radius`` as a geodesic distance,
            ``clip_radius`` as a tangent norm); None where nothing is clipped.
        saturated: (E,) shares of clipped points, written at the right. Default not written.
        radius_name: title of the horizontal axis.
        title: of the figure.

    Returns:
        The figure. Each row is scaled to its own highest bin.

    Raises:
        InputError: shapes do not fit, or an epoch has no points.
    """
    counts, edges = np.asarray(counts, float), np.asarray(edges, float)
    rows = len(epochs)
    if counts.ndim != 2 or counts.shape != (rows, len(edges) - 1) or not rows:
        raise InputError(
            f"counts must have shape (epochs, bins) = ({rows}, {len(edges) - 1}), "
            f"got {counts.shape}"
        )
    if (np.diff(edges) <= 0).any() or (counts < 0).any() or (counts.sum(1) == 0).any():
        raise InputError(
            "edges must ascend, and every epoch must have points and no negative count"
        )
    if saturated is not None and len(saturated) != rows:
        raise InputError(f"got {len(saturated)} saturated shares for {rows} epochs")
    figure = new_figure(WIDTH * 0.75, 1.3 + 0.42 * rows)
    axes = figure.add_subplot()
    for row, heights in enumerate(counts):
        axes.stairs(
            rows - 1 - row + _OVERLAP * heights / heights.max(),
            edges,
            baseline=rows - 1 - row,
            fill=True,
            color=COLORS[0],
            alpha=0.75,
        )
        if saturated is not None:
            axes.text(
                1.01,
                rows - 1 - row + 0.1,
                f"{saturated[row]:.0%}",
                transform=axes.get_yaxis_transform(),
                fontsize=7.5,
            )
    if saturated is not None:
        axes.text(1.01, rows + 0.05, "clipped", transform=axes.get_yaxis_transform(), fontsize=7.5)
    if limit is not None:
        axes.axvline(limit, color=COLORS[1], linestyle="--", linewidth=1.2)
        axes.text(limit, rows + 0.05, "clip radius ", color=COLORS[1], fontsize=7.5, ha="right")
    axes.set_ylim(0, rows)
    right = edges[-1] if limit is None else max(edges[-1], 1.02 * limit)
    axes.set_xlim(edges[0], right)
    axes.set_yticks(np.arange(rows)[::-1], [shown(epoch, 40) for epoch in epochs])
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel(row_name)
    axes.set_xlabel(radius_name)
    if title:
        axes.set_title(title, pad=16)
    note(figure, "Each row is scaled to its own highest bin.")
    return figure


def radius_histograms(
    snapshots: Sequence[np.ndarray],
    *,
    limit: float | None,
    near: Sequence[float] | None = None,
    bins: int = 60,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Histograms of radii on common bins, for :func:`radii`.

    Args:
        snapshots: one (N,) an epoch.
        limit: the radius of a clipped point, or None.
        near: share of the limit from which a radius counts as being at it, one an epoch. Default
            0.999 for all.
        bins: number of bins from 0 to the largest radius or the limit, >= 1.

    Returns:
        (E, bins) counts, (bins + 1,) edges, and (E,) shares of points at the limit (0 without).

    Raises:
        InputError: no snapshots, or one that is empty or not finite.
    """
    arrays = [np.ravel(np.asarray(snapshot, float)) for snapshot in snapshots]
    if not arrays or any(not len(array) or not np.isfinite(array).all() for array in arrays):
        raise InputError("radii must be finite, with at least one point at every epoch")
    end = max([*(array.max() for array in arrays), limit or 0.0]) * 1.02 or 1.0
    edges = np.linspace(0, end, bins + 1)
    counts = np.stack([np.histogram(array, edges)[0] for array in arrays])
    near = [0.999] * len(arrays) if near is None else near
    saturated = [
        0.0 if limit is None else float((array > share * limit).mean())
        for array, share in zip(arrays, near, strict=True)
    ]
    return counts, edges, np.array(saturated)
