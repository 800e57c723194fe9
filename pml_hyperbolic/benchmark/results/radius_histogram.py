"""RadiusHistogram: how many embeddings of one epoch lie how far from the origin."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BINS = 60
# Without a clip radius, bins reach to this times a power of two.
_SMALLEST_END = 0.125


class RadiusHistogram(NamedTuple):
    """Counts in ``BINS`` bins of equal width from 0 to ``end``.

    Attributes:
        end: the clip radius; without one, the smallest power of two times 1/8 that no radius
            exceeds.
        counts: the number of embeddings in each bin. A radius on an edge is in the bin above, one
            at ``end`` in the last.
    """

    end: float
    counts: list[int]

    @classmethod
    def of(cls, radii: np.ndarray, clip_radius: float | None) -> "RadiusHistogram":
        """Count radii.

        Args:
            radii: (N,) radii >= 0; NaN and infinite ones are left out.
            clip_radius: the largest radius possible, None if there is none.
        """
        radii = radii[np.isfinite(radii)].astype(np.float64)
        if clip_radius is None:
            end = _SMALLEST_END
            while len(radii) and radii.max() > end:
                end *= 2
        else:
            end = clip_radius
            # A clipped vector may be longer than the clip radius by a rounding error.
            radii = np.minimum(radii, end)
        return cls(end, np.histogram(radii, BINS, (0, end))[0].tolist())


def on_common_bins(histograms: Sequence[RadiusHistogram]) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges (B + 1,) and counts (E, B) of histograms, on the bins of the widest.

    Nothing is lost but resolution: each wider bin consists of whole narrower ones.

    Args:
        histograms: one an epoch, at least one.
    """
    end = max(histogram.end for histogram in histograms)
    rows = []
    for own, counts in histograms:
        row = np.asarray(counts, np.int64)
        while own < end:
            own *= 2
            row = np.concatenate([row.reshape(-1, 2).sum(1), np.zeros(BINS // 2, np.int64)])
        rows.append(row)
    return np.linspace(0, end, BINS + 1), np.stack(rows)
