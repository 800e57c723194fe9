"""DiskFrame: where a disk puts samples and proxies, and what it takes from the true space."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..analysis.geometry import (
    checked_embeddings,
    geometry_name,
    largest_radius,
    mapped_points,
    nearest_neighbors,
    origin_distances,
    point_distances,
    share_of_limit,
)
from ..analysis.tree_building import pair_ancestors
from ..distances import PoincareDistance
from ..errors import InputError

# Steps and learning rate of UMAP's optimisation: from a fresh start, and from the positions of an
# earlier epoch, which a high rate would scatter first.
_FRESH = 200, 1.0
_LATER = 100, 0.3
_START_RADIUS = 5.0  # of the spectral start, in hyperboloid coordinates
_JITTER = 1e-3
_MEDIAN_STEPS = 50


@dataclass(frozen=True)
class DiskFrame:
    """One epoch of an embedding, laid out in the unit disk.

    Args:
        samples: (N, 2) positions of the samples. These are UMAP's.
        proxies: (P, 2) positions of the proxies, P >= 0. These are UMAP's, too.
        pairs: (T, 2) samples and their nearest neighbours, found in the true space.
        ancestors: (T,) the proxy that is the lowest common ancestor of each pair there.
        proxy_pairs: (S, 2) ancestors and their nearest ancestors in the true space.
        proxy_ancestors: (S,) the third proxy that is the lowest common ancestor of each there.
        radii: (N,) true distances of the samples to the origin.
        proxy_radii: (P,) those of the proxies.
        limit: the radius of a clipped point; None where nothing is clipped.
        geometry: its name, such as "geodesic distance, c = 0.1".
        dimension: of the true space.
        title: for example the epoch.
        near: share of the limit from which a radius counts as being at it.
    """

    samples: np.ndarray
    proxies: np.ndarray
    pairs: np.ndarray
    ancestors: np.ndarray
    proxy_pairs: np.ndarray
    proxy_ancestors: np.ndarray
    radii: np.ndarray
    proxy_radii: np.ndarray
    limit: float | None
    geometry: str
    dimension: int
    title: str = ""
    near: float = 0.999


def disk_frames(
    embeddings: Sequence[np.ndarray | torch.Tensor],
    proxies: Sequence[np.ndarray | torch.Tensor] | None = None,
    *,
    distance: PoincareDistance | None,
    titles: Sequence[str] | None = None,
    neighbors: int = 15,
    pairs: int = 60,
    seed: int = 0,
) -> list[DiskFrame]:
    """Lay out one or several epochs of an embedding in the Poincare disk.

    Exact neighbours in the embedding's own geometry go into UMAP with hyperboloid output; its
    result u maps to the disk as ``u / (1 + sqrt(1 + |u|^2))``. A layout on the hyperbolic plane
    has no origin of its own, so its geometric median is moved there by an isometry. A later epoch
    starts from the positions of the one before it, so that one layout serves all of them. Pairs
    of samples, their ancestors and all radii are taken from the embedding, never from the layout.

    Args:
        embeddings: one (N, D) an epoch, raw, as ``distance`` takes them; N >= 4, the same samples
            in every epoch.
        proxies: one (P, D) an epoch, in the same space, or None.
        distance: the geometry; None for Euclidean embeddings, compared by cosine.
        titles: one an epoch. Default none.
        neighbors: of each point, itself included, that UMAP is given, >= 2. Default 15 (UMAP's).
        pairs: number of samples that get lines to the ancestor they share with their nearest
            neighbour, drawn at random. Default 60 (our choice: more cannot be told apart).
        seed: of the layout and of the choice of pairs: equal inputs give equal frames.

    Raises:
        InputError: umap-learn is not installed, or shapes and values do not fit.

    Source: Kim, Jeong, Kwak, CVPR 2023, Figures 3 and 4 (what is shown); McInnes et al. 2018
    (UMAP). The recipe is this project's.
    """
    if not embeddings or (proxies is not None and len(proxies) != len(embeddings)):
        raise InputError(
            f"give one embedding an epoch, and as many proxies or none, got {len(embeddings)} "
            f"and {None if proxies is None else len(proxies)}"
        )
    if neighbors < 2:
        raise InputError(
            f"neighbors must be at least 2 (a point is its own first), got {neighbors}"
        )
    titles = [""] * len(embeddings) if titles is None else titles
    if len(titles) != len(embeddings):
        raise InputError(f"got {len(titles)} titles for {len(embeddings)} epochs")
    frames: list[DiskFrame] = []
    layout = None
    shape = None
    for number, title in enumerate(titles):
        samples = checked_embeddings("embeddings", embeddings[number])
        own = samples[:0]
        if proxies is not None:
            own = checked_embeddings("proxies", proxies[number], samples.shape[1])
        if shape not in (None, (len(samples), len(own))):
            raise InputError(
                f"every epoch must hold the same samples and as many proxies, got "
                f"{(len(samples), len(own))} after {shape}"
            )
        shape = len(samples), len(own)
        if len(samples) < 4:
            raise InputError(f"a disk needs at least 4 samples, got {len(samples)}")
        everything = torch.cat([samples, own.to(samples.dtype)])
        layout = _layout(everything, distance, neighbors, seed, layout)
        layout = _centered(layout)
        disk = layout / (1 + np.sqrt(1 + (layout**2).sum(1, keepdims=True)))
        frames.append(
            DiskFrame(
                disk[: len(samples)],
                disk[len(samples) :],
                *_ancestries(samples, own, distance, pairs, seed),
                origin_distances(samples, distance),
                origin_distances(own, distance) if len(own) else np.zeros(0),
                largest_radius(distance),
                geometry_name(distance),
                samples.shape[1],
                str(title),
                0.999 if distance is None else share_of_limit(distance),
            )
        )
    return frames


def _ancestries(
    samples, proxies, distance, count, seed
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of samples and of their ancestors, and the ancestors of both, in the true space."""
    none = np.zeros((0, 2), int), np.zeros(0, int)
    if not len(proxies) or count < 1:
        return *none, *none
    generator = np.random.default_rng(seed)
    _, nearest = nearest_neighbors(samples, 1, distance)
    chosen = np.sort(generator.permutation(len(samples))[:count])
    pairs = np.stack([chosen, nearest[chosen, 0]], axis=1)
    points = mapped_points(proxies, distance, name="proxies")
    own = mapped_points(samples, distance)[torch.from_numpy(pairs.ravel())]
    to_proxies = point_distances(own, points, distance).numpy()
    ancestors = pair_ancestors(to_proxies, np.arange(2 * len(pairs)).reshape(-1, 2))
    used = np.unique(ancestors)
    if len(used) < 2 or len(points) < 3:
        return pairs, ancestors, *none
    among = point_distances(points, points, distance).numpy()
    within = among[np.ix_(used, used)]
    np.fill_diagonal(within, np.inf)
    proxy_pairs = np.unique(np.sort(np.stack([used, used[within.argmin(1)]], 1), axis=1), axis=0)
    np.fill_diagonal(among, np.inf)  # a proxy is not its own ancestor
    return pairs, ancestors, proxy_pairs, pair_ancestors(among, proxy_pairs)


def _layout(rows, distance, neighbors, seed, start):
    """UMAP's (N, 2) hyperboloid coordinates, from a spectral start or from ``start``."""
    with warnings.catch_warnings():
        # umap-learn warns of an absent tensorflow, of seeding, and of an index it is not given.
        warnings.simplefilter("ignore")
        umap = _umap()
        count = len(rows)
        neighbors = min(neighbors, count - 1)
        found, indices = nearest_neighbors(rows, neighbors - 1, distance)
        own = np.arange(count)[:, None]
        indices = np.concatenate([own, indices], axis=1).astype(np.int32)
        found = np.concatenate([np.zeros((count, 1)), found], axis=1).astype(np.float32)
        # Only the graph: UMAP's own optimisation would first stretch any start to a box beside
        # the origin, which spoils both the centred start and the continuity of frames.
        graph_of = umap.UMAP(
            n_neighbors=neighbors,
            precomputed_knn=(indices, found, None),
            transform_mode="graph",
            random_state=seed,
            n_jobs=1,
        )
        graph = graph_of.fit(rows.float().numpy()).graph_.tocoo()
        steps, rate = _FRESH if start is None else _LATER
        graph.sum_duplicates()
        graph.data[graph.data < graph.data.max() / steps] = 0
        graph.eliminate_zeros()
        random = np.random.RandomState(seed)
        if start is None:
            spectral = umap.spectral.spectral_layout(rows.numpy(), graph, 2, random)
            spectral = spectral - spectral.mean(0)
            start = spectral * (_START_RADIUS / np.abs(spectral).max())
            start = start + random.normal(scale=_JITTER, size=start.shape)
        positions = np.ascontiguousarray(start, dtype=np.float32)
        return umap.layouts.optimize_layout_generic(
            positions,
            positions,
            graph.row,
            graph.col,
            steps,
            count,
            umap.umap_.make_epochs_per_sample(graph.data, steps),
            graph_of._a,
            graph_of._b,
            random.randint(-(2**31) + 1, 2**31 - 2, 3).astype(np.int64),
            initial_alpha=rate,
            output_metric=umap.distances.hyperboloid_grad,
            move_other=True,
        ).astype(np.float64)


def _umap():
    try:
        import umap
        import umap.distances
        import umap.layouts
        import umap.spectral
    except ImportError as error:
        raise InputError(
            f"the disk needs umap-learn ({error}): pip install 'pml-hyperbolic[plots]'"
        ) from None
    return umap


def _centered(layout):
    """The layout (N, 2) moved by the isometry that puts its geometric median at the origin."""
    lifted = np.concatenate([np.sqrt(1 + (layout**2).sum(1, keepdims=True)), layout], axis=1)
    weights = np.ones(len(lifted))
    for _ in range(_MEDIAN_STEPS):  # Weiszfeld's iteration on the hyperboloid
        total = weights @ lifted
        median = total / np.sqrt(total[0] ** 2 - total[1:] @ total[1:])
        cosh = np.maximum(lifted[:, 0] * median[0] - lifted[:, 1:] @ median[1:], 1)
        weights = 1 / np.sqrt(cosh**2 - 1 + 1e-9)
    time, space = median[0], median[1:]
    boost = np.eye(2) + np.outer(space, space) / (1 + time)
    return lifted[:, 1:] @ boost - lifted[:, :1] * space
