"""Distances, neighbours, means and radii of an embedding in the geometry it was trained in.

Every function takes ``distance``: the PoincareDistance (or PoincareSimilarity) that owns the
curvature, or None for a Euclidean embedding that is compared by cosine. Embeddings are raw, as
that distance takes them; numpy arrays and tensors are both accepted.
"""

import numpy as np
import torch

from ..distances import PoincareDistance
from ..errors import InputError
from ..functional import poincare_cdist, poincare_distance
from ..utils.cosine_knn import CosineKNN
from ..utils.lifted_points import LiftedPoints
from ..utils.poincare_kmeans import lorentz_centroids
from ..utils.retrieval import PoincareKNN


def geometry_name(distance: PoincareDistance | None) -> str:
    """The geometry in words, for the text of a figure or a table."""
    return "cosine" if distance is None else f"geodesic distance, c = {distance.c:g}"


def checked_embeddings(
    name: str, embeddings: np.ndarray | torch.Tensor, size: int | None = None
) -> torch.Tensor:
    """Embeddings as a finite float tensor (N, D) on the CPU.

    Args:
        name: what they are, for the message.
        embeddings: (N, D), N >= 1.
        size: the D that is expected, if any.

    Raises:
        InputError: a wrong shape, no rows, or rows with NaN or infinite values.
    """
    rows = torch.as_tensor(embeddings).detach().cpu()
    if rows.ndim != 2 or 0 in rows.shape:
        raise InputError(
            f"{name} must have shape (N, D) with N, D >= 1, got {tuple(rows.shape)}: give one row "
            f"for each sample"
        )
    if size is not None and rows.shape[1] != size:
        raise InputError(
            f"{name} must have {size} columns like the embeddings, got {rows.shape[1]}: take both "
            f"from one model"
        )
    rows = rows if rows.dtype in (torch.float32, torch.float64) else rows.float()
    bad = int((~torch.isfinite(rows)).any(1).sum())
    if bad:
        raise InputError(
            f"{bad} of the {len(rows)} {name} contain NaN or infinite values: "
            f"leave these rows out, or look for a run that diverged"
        )
    return rows


def checked_labels(name: str, labels: np.ndarray | torch.Tensor, count: int) -> np.ndarray:
    """Labels as an integer array (count,).

    Raises:
        InputError: a wrong shape, or values that are not integers.
    """
    values = np.asarray(torch.as_tensor(labels).cpu())
    if values.shape != (count,):
        raise InputError(
            f"{name} must have shape ({count},), one for each embedding, got {values.shape}: save "
            f"both from the same samples"
        )
    if values.dtype.kind not in "iu":
        raise InputError(
            f"{name} must be integers, got {values.dtype}: number the classes, and save their "
            f"names as class_names"
        )
    return values.astype(np.int64)


def mapped_points(
    embeddings: np.ndarray | torch.Tensor,
    distance: PoincareDistance | None,
    *,
    name: str = "embeddings",
) -> torch.Tensor:
    """Points in float64 on the ball, or on the unit sphere for cosine.

    Raises:
        InputError: as :func:`checked_embeddings`; ``inputs="ball"`` points outside the ball.
    """
    rows = checked_embeddings(name, embeddings).double()
    if distance is None:
        return torch.nn.functional.normalize(rows)
    try:
        return distance.to_ball(rows)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


def point_distances(
    x: torch.Tensor, y: torch.Tensor, distance: PoincareDistance | None
) -> torch.Tensor:
    """(N, M) distances between mapped points: geodesic, or ``1 - cosine``."""
    if distance is None:
        return (1 - x @ y.T).clamp(min=0)
    return poincare_cdist(x, y, c=distance.c)


def distance_to_similarity(
    distances: torch.Tensor, distance: PoincareDistance | None
) -> torch.Tensor:
    """Similarities that belong to distances: cosine, ``1 - 2 d / d_max``, or plain ``-d``.

    ``d_max = 4 * clip_radius`` as in PoincareSimilarity; without a clip radius there is no
    largest distance and the similarity is ``-d``.
    """
    if distance is None:
        return 1 - distances
    if distance.clip_radius is None:
        return -distances
    return 1 - distances / (2 * distance.clip_radius)


def similarity_name(distance: PoincareDistance | None) -> str:
    """The name of :func:`distance_to_similarity`'s values, for axes and colour bars."""
    if distance is None:
        return "cosine similarity"
    if distance.clip_radius is None:
        return "-d (geodesic)"
    return "hyperbolic similarity, 1 - 2d/d_max"


def nearest_neighbors(
    embeddings: np.ndarray | torch.Tensor,
    k: int,
    distance: PoincareDistance | None,
    *,
    query: np.ndarray | None = None,
    gallery: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The exact k nearest other embeddings of each embedding, or of some of them.

    Args:
        embeddings: (N, D) raw embeddings.
        k: number of neighbours, >= 1, and less than N (at most G with a gallery).
        distance: the geometry; None for cosine.
        query: (Q,) distinct rows whose neighbours are looked for. Default: all rows.
        gallery: (G,) rows among which they are looked for, the query itself included if it is one
            of them. Default: all rows but the query itself.

    Returns:
        (Q, k) distances (geodesic, or ``1 - cosine``), nearest first, and (Q, k) rows.

    Raises:
        InputError: ``k`` is out of range, or as :func:`mapped_points`.
    """
    rows = checked_embeddings("embeddings", embeddings)
    query = np.arange(len(rows)) if query is None else np.asarray(query)
    leave_out_own = gallery is None
    # PoincareKNN leaves out the query itself where the queries are the first references.
    among = np.asarray(gallery if gallery is not None else _first(query, len(rows)))
    most = len(among) - leave_out_own
    if not 1 <= k <= most:
        raise InputError(f"k must be between 1 and {most} for {len(among)} rows, got {k}")
    mapped_points(rows, distance)  # raises InputError for points outside the ball
    search = CosineKNN() if distance is None else PoincareKNN(distance)
    found, indices = search(rows[query], k, rows[among], leave_out_own)
    return found.numpy(), among[indices.numpy()]


def origin_distances(
    embeddings: np.ndarray | torch.Tensor, distance: PoincareDistance | None
) -> np.ndarray:
    """(N,) true radii: geodesic distances to the origin, or plain norms for cosine."""
    if distance is None:
        rows = checked_embeddings("embeddings", embeddings)
        return torch.linalg.vector_norm(rows.double(), dim=1).numpy()
    points = mapped_points(embeddings, distance)
    return poincare_distance(points, points.new_zeros(1, points.shape[1]), c=distance.c).numpy()


def largest_radius(distance: PoincareDistance | None) -> float | None:
    """The geodesic distance to the origin of a clipped point, ``2 * clip_radius``, if any."""
    if distance is None or distance.clip_radius is None:
        return None
    return 2 * distance.clip_radius


def share_of_limit(distance: PoincareDistance) -> float:
    """The share of the largest radius from which a point counts as clipped.

    0.999 leaves room for rounding under the hard clip; a smooth one only approaches its radius, and
    counts within 1 % of it.
    """
    return 0.99 if distance.clip == "smooth" else 0.999


def class_means(
    embeddings: np.ndarray | torch.Tensor, labels: np.ndarray, distance: PoincareDistance | None
) -> tuple[np.ndarray, torch.Tensor]:
    """The mean point of every class in its own geometry.

    On the ball that is the normalised sum on the hyperboloid (the Einstein midpoint, which
    PoincareKMeans uses too); for cosine it is the normalised sum of unit vectors.

    Returns:
        (C,) the labels that occur, ascending, and (C, D) mapped points.

    Raises:
        InputError: as :func:`mapped_points` and :func:`checked_labels`.

    Source: Law et al., "Lorentzian Distance Learning", ICML 2019.
    """
    points = mapped_points(embeddings, distance)
    classes, inverse = np.unique(checked_labels("labels", labels, len(points)), return_inverse=True)
    of_class, count = torch.from_numpy(inverse), len(classes)
    if distance is None:
        sums = points.new_zeros(count, points.shape[1]).index_add_(0, of_class, points)
        return classes, torch.nn.functional.normalize(sums)
    rows = checked_embeddings("embeddings", embeddings)
    # Every class has a sample, so how badly each fits is not asked for.
    fits = torch.zeros(len(rows))
    return classes, lorentz_centroids(LiftedPoints(rows, distance), of_class, fits, count)


def class_distances(
    embeddings: np.ndarray | torch.Tensor, labels: np.ndarray, distance: PoincareDistance | None
) -> tuple[np.ndarray, np.ndarray]:
    """(C,) labels and (C, C) distances between the classes' means in their geometry."""
    classes, means = class_means(embeddings, labels, distance)
    matrix = point_distances(means, means, distance).numpy()
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 0)
    return classes, matrix


def class_similarities(
    embeddings: np.ndarray | torch.Tensor, labels: np.ndarray, distance: PoincareDistance | None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean similarity between the samples of every two classes.

    Returns:
        (C,) the labels that occur, ascending, and (C, C) means over all pairs of samples of
        :func:`distance_to_similarity`. On the diagonal a sample is not paired with itself; it is
        NaN for a class of one sample.

    Raises:
        InputError: as :func:`mapped_points` and :func:`checked_labels`.
    """
    points = mapped_points(embeddings, distance)
    classes, inverse = np.unique(checked_labels("labels", labels, len(points)), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    points = points[torch.from_numpy(order)]
    counts = np.bincount(inverse)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums = np.zeros((len(classes), len(classes)))
    for row in range(len(classes)):
        own = slice(starts[row], starts[row] + counts[row])
        block = distance_to_similarity(point_distances(points[own], points, distance), distance)
        block[torch.arange(counts[row]), starts[row] + torch.arange(counts[row])] = 0
        sums[row] = np.add.reduceat(block.sum(0).numpy(), starts)
    pairs = np.outer(counts, counts) - np.diag(counts)
    with np.errstate(invalid="ignore"):
        return classes, sums / pairs


def _first(query, count):
    """(count,) all rows, those of the queries first."""
    return np.concatenate([query, np.setdiff1d(np.arange(count), query)])
