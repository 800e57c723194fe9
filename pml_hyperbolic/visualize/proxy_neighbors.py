"""The images nearest to proxies near the origin and to proxies near the boundary."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from ..analysis.geometry import (
    checked_embeddings,
    geometry_name,
    mapped_points,
    origin_distances,
    point_distances,
)
from ..distances import PoincareDistance
from ..errors import InputError
from .image_grid import draw_thumbnail, grid_axes, image_array
from .style import SMALL, WIDTH, fitted, new_figure, note, styled

_LABEL_CELLS = 1.1  # width of a row's text, in cells
_GAP_CELLS = 0.3
_CAPTION = 6.0  # points


@styled
def proxy_neighbors(
    proxies: np.ndarray | torch.Tensor,
    embeddings: np.ndarray | torch.Tensor,
    image: Callable[[int], Any],
    *,
    distance: PoincareDistance | None,
    rows: int = 5,
    k: int = 4,
    captions: Sequence[str] | None = None,
) -> Figure:
    """HIER's Figure 6: top images of the proxies nearest the origin and nearest the boundary.

    If radius means generality, the images of a proxy near the origin differ more among each other.

    Args:
        proxies: (P, D) raw proxies, P >= 2.
        embeddings: (N, D) raw embeddings in the same space.
        image: the image of an embedding by its index: (H, W) or (H, W, 3) bytes or floats in
            [0, 1], or a PIL image.
        distance: the geometry; None for cosine, where the radius is the plain norm.
        rows: proxies on each side, >= 1; at most P / 2.
        k: images of each proxy, >= 1.
        captions: (N,) texts to write under the images, such as class names.

    Raises:
        InputError: shapes or counts do not fit, or something that is no image.
    """
    chosen, radii, nearest = nearest_of_extreme_proxies(
        proxies, embeddings, distance=distance, rows=rows, k=k
    )
    rows, count = chosen.shape[1], len(radii)
    if captions is not None and len(captions) != len(embeddings):
        raise InputError(f"got {len(captions)} captions for {len(embeddings)} embeddings")
    block = _LABEL_CELLS + k
    columns = 2 * block + _GAP_CELLS
    pitch = 1.25 if captions is not None else 1.05
    cell = WIDTH / columns
    figure = new_figure(WIDTH, (rows * pitch + 0.45) * cell + 0.75)
    axes = grid_axes(figure, columns, rows * pitch + 0.45)
    for side, title in enumerate(("Proxies nearest the origin", "Proxies nearest the boundary")):
        left = side * (block + _GAP_CELLS)
        axes.text(left, 0.2, title, fontsize=9.5, va="center", gid="side")
        for row, proxy in enumerate(chosen[side]):
            top = 0.45 + row * pitch
            axes.text(
                left,
                top + 0.5,
                f"proxy {proxy}\nr = {radii[proxy]:.3f}",
                fontsize=SMALL,
                va="center",
                gid="proxy",
            )
            for place, index in enumerate(nearest[side, row]):
                column = left + _LABEL_CELLS + place
                picture = image_array(image(int(index)), f"image {index}")
                draw_thumbnail(axes, picture, column, top, size=0.94)
                if captions is not None:
                    axes.text(
                        column + 0.5,
                        top + 0.99,
                        fitted(captions[index], 0.9 * cell, _CAPTION),
                        fontsize=_CAPTION,
                        ha="center",
                        va="top",
                        gid="caption",
                    )
    spread_of = float(radii.max() - radii.min())
    sentence = (
        f"r is a proxy's true distance to the origin; the radii of all {count} proxies run from "
        f"{radii.min():.3f} to {radii.max():.3f}. "
        f"Images are the nearest by {geometry_name(distance)}, nearest first."
    )
    if spread_of < 1e-3 * radii.max():
        sentence += " All proxies lie at the same radius: near and far mean nothing here."
    note(figure, sentence)
    return figure


def nearest_of_extreme_proxies(
    proxies: np.ndarray | torch.Tensor,
    embeddings: np.ndarray | torch.Tensor,
    *,
    distance: PoincareDistance | None,
    rows: int,
    k: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which proxies and images :func:`proxy_neighbors` shows.

    Returns:
        (2, rows) proxies, nearest the origin first and then farthest from it, the most extreme
        first; (P,) radii of all proxies; (2, rows, k) indices of the nearest embeddings.

    Raises:
        InputError: shapes or counts do not fit.
    """
    points = checked_embeddings("embeddings", embeddings)
    checked_embeddings("proxies", proxies, points.shape[1])
    radii = origin_distances(proxies, distance)
    if len(radii) < 2 or rows < 1 or not 1 <= k <= len(points):
        raise InputError(
            f"proxy_neighbors needs at least 2 proxies, rows >= 1 and k between 1 and the "
            f"{len(points)} embeddings, got {len(radii)} proxies, rows = {rows} and k = {k}"
        )
    rows = min(rows, len(radii) // 2)
    order = np.argsort(radii, kind="stable")
    chosen = np.stack([order[:rows], order[::-1][:rows]])
    own = mapped_points(proxies, distance, name="proxies")[torch.from_numpy(chosen.ravel())]
    found = point_distances(own, mapped_points(points, distance), distance)
    nearest = torch.argsort(found, dim=1, stable=True)[:, :k]
    return chosen, radii, nearest.numpy().reshape(2, rows, k)
