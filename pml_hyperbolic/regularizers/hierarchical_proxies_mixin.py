"""HierarchicalProxiesMixin: HIER's learnable proxies and settings, with or without labels."""

import math
from typing import Any

import torch
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.reducers import MeanReducer

from .._pml import loss_term, zero_term
from ..distances import PoincareDistance, check_shared_geometry
from ..functional.hier import hier_loss, hierarchical_triplet_losses
from ..functional.poincare import full_precision
from ..functional.reading_waits import reading_waits
from ..functional.reciprocal_neighbors import reciprocal_neighbor_triplets
from ..functional.validation import (
    check_counts,
    check_embeddings,
    check_flag,
    check_maps_tangents,
    check_not_negative,
    check_positive,
)
from .sub_loss_records_mixin import SubLossRecordsMixin


class HierarchicalProxiesMixin(SubLossRecordsMixin):
    """HIER's proxies, settings and input checks, and its parts in the form PML's reducers take.

    Mixed into :class:`~pml_hyperbolic.losses.HIERLoss` (which documents the arguments) and
    :class:`~pml_hyperbolic.regularizers.HIERRegularizer`. What they have in common lies beside the
    regularizers because losses import regularizers, and never the other way round.
    """

    def __init__(
        self,
        embedding_size: int,
        num_proxies: int = 512,
        *,
        margin: float = 0.1,
        temperature: float = 0.1,
        num_neighbors: int = 20,
        triplets_per_anchor: int = 50,
        anchor_as_negative: bool = False,
        distance: BaseDistance | None = None,
        **kwargs,
    ):
        name = type(self).__name__
        counts = {
            "embedding_size": embedding_size,
            "num_proxies": num_proxies,
            "num_neighbors": num_neighbors,
            "triplets_per_anchor": triplets_per_anchor,
        }
        check_counts(name, **counts)
        check_positive(name, temperature=temperature)
        check_not_negative(name, margin=margin)
        check_maps_tangents(name, distance)
        if distance is not None and distance.is_inverted:
            raise ValueError(
                f"{name} needs a distance that grows with dissimilarity, got "
                f"{type(distance).__name__}: use PoincareDistance(), or LpDistance(power=2) for "
                f"the spherical HIER"
            )
        super().__init__(distance=distance, **kwargs)
        check_shared_geometry(self)
        self.embedding_size = embedding_size
        self.num_proxies = num_proxies
        self.hier_margin = margin
        self.temperature = temperature
        self.num_neighbors = num_neighbors
        self.triplets_per_anchor = triplets_per_anchor
        self.anchor_as_negative = check_flag(name, "anchor_as_negative", anchor_as_negative)
        radius = getattr(self.distance, "initial_radius", 1.0)
        self.proxies = torch.nn.Parameter(
            torch.randn(num_proxies, embedding_size) * (radius / math.sqrt(embedding_size))
        )
        self.add_to_recordable_attributes(
            list_of_names=[*counts, "hier_margin", "temperature"], is_stat=False
        )

    def forward(self, embeddings: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        """The loss of a batch of embeddings (N, embedding_size); the rest as PML's base class."""
        # PML's reducers add the parts in the dtype of the embeddings.
        embeddings, _ = self.prepared(embeddings)
        with full_precision(embeddings):
            return super().forward(embeddings, *args, **kwargs)

    def prepared(self, embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (N, embedding_size) and proxies, checked and in the wider of their dtypes.

        ``compute_loss`` asks for them too, because the ``loss_terms`` of PML 3 do not pass through
        ``forward``.
        """
        check_embeddings(type(self).__name__, embeddings, self.embedding_size)
        dtype = torch.promote_types(embeddings.dtype, self.proxies.dtype)
        return embeddings.to(dtype), self.proxies.to(dtype)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        # A state of another geometry is refused before it replaces the proxies.
        key = f"{prefix}distance._extra_state"
        if isinstance(self.distance, PoincareDistance) and key in state_dict:
            self.distance.set_extra_state(state_dict[key])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def default_distance(self) -> BaseDistance:
        return PoincareDistance()

    get_default_distance = default_distance  # its name in PML 2

    def _sub_loss_names(self):
        return ["data_loss", "proxy_loss"]

    def data_part(self, relevance: torch.Tensor, to_proxies: torch.Tensor) -> dict:
        """HIER's loss of the batch, given relevances (N, N) and distances to the proxies (N, P).

        Reducers get one loss a triplet. Only the mean reducer, PML's default, gets the mean on an
        accelerator: how many triplets there are need not be waited for then.
        """
        if reading_waits(relevance.device) and self._data_loss_is_averaged():
            return loss_term(self._loss(relevance, to_proxies))
        triplets = reciprocal_neighbor_triplets(relevance, **self._draws())
        if triplets.shape[1] == 0:
            return zero_term(to_proxies)
        losses = hierarchical_triplet_losses(
            to_proxies, triplets, margin=self.hier_margin, temperature=self.temperature
        )
        return loss_term(losses, tuple(triplets), "triplet")

    def proxy_part(self, between: torch.Tensor) -> dict:
        """HIER's loss of the proxies themselves, given the distances between them (P, P).

        Its triplets are of proxies, not of batch elements: no reducer could index them.
        """
        return loss_term(self._loss(torch.exp(-between.detach()), between))

    def clip_saturation(self, vectors: torch.Tensor) -> torch.Tensor:
        """The fraction of raw vectors (N, D) at the clip radius; 0 for a distance without one."""
        if isinstance(self.distance, PoincareDistance):
            return self.distance.clip_saturation(vectors)
        return vectors.new_zeros(())

    def _loss(self, relevance, distances):
        return hier_loss(
            relevance,
            distances,
            margin=self.hier_margin,
            temperature=self.temperature,
            **self._draws(),
        )

    def _draws(self) -> dict[str, Any]:
        return {
            "k": self.num_neighbors,
            "triplets_per_anchor": self.triplets_per_anchor,
            "anchor_as_negative": self.anchor_as_negative,
        }

    def _data_loss_is_averaged(self):
        by_name = getattr(self.reducer, "reducers", {})
        return "data_loss" in by_name and type(by_name["data_loss"]) is MeanReducer
