"""Radii by epoch of one run, or of the final embeddings of several."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...analysis.geometry import origin_distances, share_of_limit
from ...errors import InputError
from ...visualize.radii import radii, radius_histograms
from ..measuring.run_contents import distance_of
from ..results.snapshots import radii_histograms
from .embedding_set import EmbeddingSet
from .run_line import RunLine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More rows than this are too flat to be read.
_ROWS = 16


def draw_radii_by_epoch(line: RunLine, *, title: str | None = None) -> "Figure":
    """Draw the histograms of radii that a run kept, of at most 16 epochs at equal steps.

    Args:
        line: a run in its hyperbolic space.
        title: of the figure. Default: that of the line.

    Raises:
        InputError: the run has no hyperbolic space, or kept no histograms.
    """
    distance = distance_of(line.row)
    if distance is None:
        raise InputError(
            f"{line.title} has no clip radius that its radii could be compared with: radii shows "
            f"hyperbolic methods"
        )
    kept = radii_histograms(line.run.folder)
    if line.space not in kept.counts or not len(kept.epochs):
        raise InputError(f"{line.run.folder} kept no radii of the space {line.space}")
    count = len(kept.epochs)
    chosen = sorted({round(i * (count - 1) / max(1, _ROWS - 1)) for i in range(_ROWS)})
    if count <= _ROWS:
        chosen = list(range(count))
    return radii(
        kept.counts[line.space][chosen],
        kept.edges[line.space],
        [kept.epochs[i] for i in chosen],
        limit=distance.clip_radius,
        saturated=kept.saturation[line.space][chosen].tolist(),
        radius_name="tangent norm of the validation embeddings after clipping",
        title=line.title if title is None else title,
    )


def draw_radii(sets: Sequence[EmbeddingSet], *, title: str | None = None) -> "Figure":
    """Draw the histogram of the radii of each of these embeddings, a row each.

    Args:
        sets: those that are compared by cosine are left out.
        title: of the figure. Default none.

    Raises:
        InputError: none of the sets is hyperbolic.
    """
    # A tangent norm is half the geodesic distance to the origin.
    norms, names, limits, near = [], [], [], []
    for one in sets:
        if one.distance is not None:
            norms.append(origin_distances(one.embeddings, one.distance) / 2)
            names.append(one.title)
            limits.append(one.distance.clip_radius)
            near.append(share_of_limit(one.distance))
    if not norms:
        raise InputError(
            "radii shows hyperbolic embeddings, and none of these is: give a hyperbolic method, or "
            "--c with a file"
        )
    known = {limit for limit in limits if limit is not None}
    limit = known.pop() if len(known) == 1 else None
    counts, edges, saturated = radius_histograms(norms, limit=limit, near=near)
    return radii(
        counts,
        edges,
        names,
        row_name="",
        limit=limit,
        saturated=None if limit is None else saturated.tolist(),
        radius_name="tangent norm after clipping",
        title=title or "",
    )
