"""RadiiByEpoch: how the radii of a run's hyperbolic embeddings develop during training."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RadiiByEpoch:
    """Histograms of the radii of the validation embeddings at every scored epoch.

    A radius is the tangent norm after clipping: half the geodesic distance to the origin.

    Attributes:
        epochs: the E scored epochs, ascending; empty without a hyperbolic space.
        edges: hyperbolic space -> (B + 1,) edges of the bins, from 0 to the clip radius or,
            without one, at least to the largest radius.
        counts: hyperbolic space -> (E, B) number of embeddings in each bin.
        saturation: hyperbolic space -> (E,) share of the embeddings at the clip radius; 0 without
            one.
    """

    epochs: tuple[int, ...]
    edges: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]
    saturation: dict[str, np.ndarray]
