"""check_shared_geometry: a loss and its regularizers measure in one hyperbolic space."""

from typing import Any

import torch

from .poincare_distance import PoincareDistance
from .riemannian_cosine_similarity import RiemannianCosineSimilarity

_SETTINGS = ("c", "clip_radius", "clip", "inputs")


def check_shared_geometry(loss: torch.nn.Module) -> None:
    """Refuse a loss whose regularizer measures the same vectors in another hyperbolic space.

    The losses of this library call it when they are made, and its trainer calls it for all losses
    before it trains. Call it once on a loss of PML's own in a training loop of your own: PML does
    not tell a regularizer which loss it belongs to.

    Args:
        loss: a PML loss, or a module that holds such losses. A loss without hyperbolic geometry
            may have any regularizer.

    Raises:
        ValueError: the distance of an ``embedding_regularizer`` or ``weight_regularizer`` has
            another c, clip_radius, clip or inputs than that of its loss.
    """
    for part in loss.modules():
        own = _geometry(getattr(part, "distance", None))
        for slot in ("embedding_regularizer", "weight_regularizer"):
            regularizer = getattr(part, slot, None)
            theirs = _geometry(getattr(regularizer, "distance", None))
            if None not in (own, theirs) and own != theirs:
                raise ValueError(
                    f"{type(regularizer).__name__} measures with {_described(theirs)}, but "
                    f"{type(part).__name__}, whose {slot} it is, with {_described(own)}: give both "
                    f"one distance object"
                )


def _geometry(distance: Any) -> tuple | None:
    if isinstance(distance, RiemannianCosineSimilarity):
        distance = distance.distance
    if not isinstance(distance, PoincareDistance):
        return None
    return tuple(getattr(distance, name) for name in _SETTINGS)


def _described(geometry):
    return ", ".join(f"{name}={value!r}" for name, value in zip(_SETTINGS, geometry, strict=True))
