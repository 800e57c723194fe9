"""HypHCRegularizer: hierarchical clustering of proxies in hyperbolic space."""

from collections.abc import Callable

import torch
from pytorch_metric_learning.regularizers import BaseRegularizer

from .._pml import RecordsMixin, loss_term, zero_term
from ..distances import PoincareDistance
from ..functional.hyphc import hyphc_loss_of_corners, hyphc_loss_of_tangents
from ..functional.poincare import at_least_float32, full_precision, with_riemannian_gradient
from ..functional.validation import (
    check_counts,
    check_finite,
    check_instance,
    check_positive,
    is_readable,
)


class HypHCRegularizer(RecordsMixin, BaseRegularizer):
    """HypHC on weights or embeddings: similar points get a deep lowest common ancestor.

    The mean over triplets (i, j, k) of ``w_ij + w_ik + w_jk - <w, softmax(d_o / temperature)>``,
    with similarities w and the depths d_o of the three pairs' lowest common ancestors. See
    :mod:`pml_hyperbolic.functional.hyphc`.

    It can be PML's ``weight_regularizer=`` or ``embedding_regularizer=``. Triplets of distinct
    points are drawn anew at every call, and only their points are mapped: the cost does not grow
    with the number of points.

    Args:
        temperature: of the softmax over depths, > 0. Default 0.05 (HypHC's usual value).
        num_triplets: draws per call, >= 1. Default 2000 (our choice).
        similarity: a callable ``(i, j) -> (T,)`` that returns similarities >= 0 of the points
            with these indices. Default: (1 + cosine) / 2 of the raw vectors, without gradient (our
            choice).
        distance: the PoincareDistance that owns curvature and clipping. Default
            ``PoincareDistance()``.
        kwargs: PML's ``reducer`` and ``collect_stats``.

    Shapes: x (P, D) raw vectors, which ``distance`` maps. Fewer than three points give 0.

    Raises:
        ValueError: an argument is out of range, or ``distance`` is not a PoincareDistance.

    Source: Chami et al., NeurIPS 2020, arXiv 2010.00402; as a regularizer of proxies Saeki et
    al., arXiv 2510.05643.
    """

    def __init__(
        self,
        *,
        temperature: float = 0.05,
        num_triplets: int = 2000,
        similarity: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
        distance: PoincareDistance | None = None,
        **kwargs,
    ):
        check_positive("HypHCRegularizer", temperature=temperature)
        check_counts("HypHCRegularizer", num_triplets=num_triplets)
        if similarity is not None and not callable(similarity):
            raise ValueError(
                f"HypHCRegularizer needs a callable similarity (i, j) -> (T,), got {similarity!r}"
            )
        if distance is not None:
            check_instance("HypHCRegularizer", "distance", distance, PoincareDistance)
        super().__init__(distance=distance, **kwargs)
        self.temperature = temperature
        self.num_triplets = num_triplets
        self.similarity = similarity
        self.add_to_recordable_attributes(
            list_of_names=["temperature", "num_triplets"], is_stat=False
        )

    def compute_loss(self, x: torch.Tensor) -> dict:
        """PML's loss dictionary of raw vectors (P, D)."""
        self.distance.check_shapes(x, None)
        if len(x) < 3:
            return {"loss": zero_term(x)}
        i, j, k = triplets = _distinct_triplets(len(x), self.num_triplets, x.device)
        with full_precision(x):
            weights = None
            if self.similarity is not None:
                pairs = (i, j), (i, k), (j, k)
                weights = torch.stack([self.similarity(*pair) for pair in pairs])
            ball = self.distance.mapping()
            if ball.pop("riemannian_gradient"):
                x = with_riemannian_gradient(x.to(at_least_float32(x.dtype)), **ball)
            corners = _rows(x, triplets.T.flatten())
            if self.distance.inputs == "ball":
                corners = self.distance.to_ball(corners).unflatten(0, (-1, 3))
                settings = {"c": self.distance.c, "temperature": self.temperature}
                loss = hyphc_loss_of_corners(corners, weights, **settings)
            else:
                if is_readable(x) and not torch.isfinite(corners.detach().sum()):
                    check_finite(type(self).__name__, x)
                corners = corners.unflatten(0, (-1, 3))
                loss = hyphc_loss_of_tangents(
                    corners, weights, temperature=self.temperature, **ball
                )
        return {"loss": loss_term(loss)}

    def default_distance(self) -> PoincareDistance:
        return PoincareDistance()

    get_default_distance = default_distance  # its name in PML 2


def _rows(x, index):
    """Rows of x, whose gradient keeps the layout of x: PML's proxies are columns of a parameter."""
    if x.t().is_contiguous():
        return x.t().index_select(1, index).t()
    return x.index_select(0, index)


def _distinct_triplets(n, count, device):
    """(3, count) indices below n >= 3, uniform over ordered triplets of distinct ones."""
    i = torch.randint(n, (count,), device=device)
    j = torch.randint(n - 1, (count,), device=device)
    j = j + (j >= i)
    low, high = torch.minimum(i, j), torch.maximum(i, j)
    k = torch.randint(n - 2, (count,), device=device)
    k = k + (k >= low)
    return torch.stack([i, j, k + (k >= high)])
