"""The images nearest to proxies near the origin and near the boundary."""

from typing import TYPE_CHECKING

from ...errors import InputError
from ...visualize.proxy_neighbors import proxy_neighbors
from .embedding_set import EmbeddingSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_proxy_neighbors(one: EmbeddingSet, *, rows: int = 5, k: int = 4) -> "Figure":
    """Draw the top images of the proxies nearest the origin and nearest the boundary.

    Hierarchical proxies are taken where there are any, otherwise those of classes.

    Args:
        one: embeddings with proxies and images.
        rows: proxies on each side. Default 5.
        k: images of each proxy. Default 4, as in HIER's Figure 6.

    Raises:
        InputError: there are no proxies or no images.
    """
    name = one.hierarchical or one.of_classes
    if name is None:
        raise InputError(f"{one.title} has no proxies to show: {one.no_proxies}")
    captions = None
    if len(one.levels):
        captions = [one.name(0, label) for label in one.labels[:, 0]]
    return proxy_neighbors(
        one.proxies[name],
        one.embeddings,
        one.needed_image(),
        distance=one.proxy_distances[name],
        rows=rows,
        k=k,
        captions=captions,
    )
