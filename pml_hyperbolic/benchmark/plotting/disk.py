"""The disk of a run or a file, at one epoch or several."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...visualize.disk import disk, write_disk_animation
from ...visualize.disk_layout import DiskFrame, disk_frames
from .embedding_set import EmbeddingSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More points than this hide each other in a disk of a page's width.
POINTS = 2500


def draw_disk(
    epochs: Sequence[EmbeddingSet],
    *,
    level: str | None = None,
    points: int = POINTS,
    random_seed: int = 0,
    title: str | None = None,
) -> "Figure":
    """Draw embeddings in the Poincare disk with their hierarchical proxies.

    Args:
        epochs: the same images at one epoch or several.
        level: that colours the points. Default: the coarsest.
        points: to draw at most; of more embeddings, as many are drawn at random. Default 2500.
        random_seed: of that draw and of the layout.
        title: of the figure. Default: that of the embeddings.

    Raises:
        InputError: umap-learn is missing, there is no such level, or values do not fit.
    """
    frames, groups, names = _frames(epochs, level, points, random_seed)
    return disk(frames, groups, group_names=names, title=_title(epochs, title))


def animate_disk(
    path: Path,
    epochs: Sequence[EmbeddingSet],
    *,
    level: str | None = None,
    points: int = POINTS,
    random_seed: int = 0,
    title: str | None = None,
) -> None:
    """Write the disk over the epochs as an animated GIF.

    Args:
        path: ending in .gif.
        epochs, level, points, random_seed, title: as for :func:`draw_disk`.

    Raises:
        InputError: as :func:`draw_disk`, or there is one epoch only.
    """
    frames, groups, names = _frames(epochs, level, points, random_seed)
    write_disk_animation(path, frames, groups, group_names=names, title=_title(epochs, title))


def _frames(
    epochs: Sequence[EmbeddingSet], level: str | None, points: int, random_seed: int
) -> tuple[list[DiskFrame], np.ndarray, list[str]]:
    first = epochs[0]
    if len(first.levels) or level is not None:
        groups, names = first.groups(first.level(level, -1))
    else:
        groups, names = np.zeros(len(first.embeddings), int), ["all samples"]
    random = np.random.default_rng(random_seed)
    rows = np.sort(random.permutation(len(first.embeddings))[:points])
    proxies = [one.proxies.get(first.hierarchical or "") for one in epochs]
    frames = disk_frames(
        [one.embeddings[rows] for one in epochs],
        [own for own in proxies if own is not None] or None,
        distance=first.distance,
        titles=[f"epoch {one.epoch}" for one in epochs] if len(epochs) > 1 else None,
        seed=random_seed,
    )
    # Groups without a point among the drawn ones are left out.
    present, numbers = np.unique(groups[rows], return_inverse=True)
    return frames, numbers, [names[group] for group in present]


def _title(epochs, title):
    return epochs[0].title if title is None else title
