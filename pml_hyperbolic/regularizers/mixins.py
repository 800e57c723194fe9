"""What HIERLoss and HIERRegularizer share, and how our losses report their parts."""

import math

import torch
from pytorch_metric_learning.distances import BaseDistance

from ..distances import PoincareDistance
from ..functional.hierarchy import hierarchical_triplet_losses, reciprocal_neighbor_triplets
from ..functional.poincare import full_precision
from ..functional.validation import check_count, check_finite


class SubLossRecordsMixin:
    """Keeps each sub-loss and the clip saturation of the last forward pass as attributes.

    ``sub_losses`` maps sub-loss names to detached scalars (means, before any custom reducer);
    ``embedding_saturation`` and ``proxy_saturation`` are the fractions at the clip radius (None
    before the first forward pass). With
    ``collect_stats`` all of them are recordable statistics and plain floats, which synchronises
    CUDA; without, they are tensors and cost no synchronisation.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.sub_losses: dict[str, torch.Tensor] = {}
        self.add_to_recordable_attributes(
            list_of_names=[*self._sub_loss_names(), "embedding_saturation", "proxy_saturation"],
            is_stat=True,
        )
        if not self.collect_stats:
            self.embedding_saturation = self.proxy_saturation = None

    def record_parts(
        self,
        loss_dict: dict,
        embedding_saturation: torch.Tensor,
        proxy_saturation: torch.Tensor,
    ) -> None:
        """Note the parts of this forward pass; ``loss_dict`` as compute_loss returns it."""
        self.sub_losses = {
            name: torch.as_tensor(part["losses"]).detach().float().mean()
            for name, part in loss_dict.items()
        }
        self.embedding_saturation = embedding_saturation
        self.proxy_saturation = proxy_saturation
        if self.collect_stats:
            for name, value in self.sub_losses.items():
                setattr(self, name, value.item())
            self.embedding_saturation = embedding_saturation.item()
            self.proxy_saturation = proxy_saturation.item()


class HierarchicalProxiesMixin(SubLossRecordsMixin):
    """HIER's learnable hierarchical proxies and its two sub-losses, with or without labels.

    Mixed into a PML loss or regularizer; see :class:`HIERLoss` for the arguments.
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
        distance: BaseDistance | None = None,
        **kwargs,
    ):
        name = type(self).__name__
        for argument, value in (
            ("embedding_size", embedding_size),
            ("num_proxies", num_proxies),
            ("num_neighbors", num_neighbors),
            ("triplets_per_anchor", triplets_per_anchor),
        ):
            check_count(name, argument, value)
        if not temperature > 0 or not margin >= 0:
            raise ValueError(
                f"{name} needs temperature > 0 and margin >= 0, got {temperature} and {margin}"
            )
        if distance is not None and distance.is_inverted:
            raise ValueError(
                f"{name} needs a distance that grows with dissimilarity, got "
                f"{type(distance).__name__}: use PoincareDistance(), or LpDistance(power=2) for "
                f"the spherical HIER"
            )
        check_maps_tangents(name, distance)
        super().__init__(distance=distance, **kwargs)
        self.embedding_size = embedding_size
        self.num_proxies = num_proxies
        self.hier_margin = margin
        self.temperature = temperature
        self.num_neighbors = num_neighbors
        self.triplets_per_anchor = triplets_per_anchor
        radius = getattr(self.distance, "initial_radius", 1.0)
        self.proxies = torch.nn.Parameter(
            torch.randn(num_proxies, embedding_size) * (radius / math.sqrt(embedding_size))
        )
        self.add_to_recordable_attributes(
            list_of_names=[
                "embedding_size",
                "num_proxies",
                "hier_margin",
                "temperature",
                "num_neighbors",
                "triplets_per_anchor",
            ],
            is_stat=False,
        )

    def forward(self, embeddings: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        """The loss of a batch of embeddings (N, embedding_size); the rest as PML's base class."""
        check_embeddings(type(self).__name__, embeddings, self.embedding_size)
        dtype = torch.promote_types(embeddings.dtype, self.proxies.dtype)
        with full_precision(embeddings):
            return super().forward(embeddings.to(dtype), *args, **kwargs)

    def get_default_distance(self) -> BaseDistance:
        return PoincareDistance()

    def _sub_loss_names(self):
        return ["data_loss", "proxy_loss"]

    def hierarchical_losses(
        self, embeddings: torch.Tensor, labels: torch.Tensor | None = None
    ) -> dict:
        """HIER's data part and proxy part as a PML loss dictionary."""
        proxies = self.proxies.to(embeddings.dtype)
        with torch.no_grad():
            relevance = torch.exp(-self.distance(embeddings))
            if labels is not None:
                relevance += labels.unsqueeze(1) == labels
        data_losses, triplets = self._triplet_losses(self.distance(embeddings, proxies), relevance)
        between = self.distance(proxies)
        proxy_losses, _ = self._triplet_losses(between, torch.exp(-between.detach()))
        loss_dict = {
            "data_loss": self.zero_loss()
            if len(data_losses) == 0
            else {
                "losses": data_losses,
                "indices": tuple(triplets),
                "reduction_type": "triplet",
            },
            # Its triplets are of proxies, not of batch elements: no reducer could index them.
            "proxy_loss": self.zero_loss()
            if len(proxy_losses) == 0
            else {
                "losses": proxy_losses.mean(),
                "indices": None,
                "reduction_type": "already_reduced",
            },
        }
        self.record_parts(
            loss_dict, self._saturation_of(embeddings), self._saturation_of(self.proxies)
        )
        return loss_dict

    def zero_loss(self) -> dict:
        """A part without triplets: 0, and still attached to the embeddings by PML's reducers."""
        return {"losses": 0, "indices": None, "reduction_type": "already_reduced"}

    def _triplet_losses(self, distances, relevance):
        triplets = reciprocal_neighbor_triplets(
            relevance, k=self.num_neighbors, triplets_per_anchor=self.triplets_per_anchor
        )
        losses = hierarchical_triplet_losses(
            distances, triplets, margin=self.hier_margin, temperature=self.temperature
        )
        return losses, triplets

    def _saturation_of(self, vectors):
        if isinstance(self.distance, PoincareDistance):
            return self.distance.clip_saturation(vectors)
        return vectors.new_zeros(())


def check_embeddings(name: str, embeddings: torch.Tensor, embedding_size: int) -> None:
    """Raise ValueError unless embeddings are finite (on the CPU), (N, embedding_size) floats."""
    if embeddings.ndim != 2 or embeddings.shape[1] != embedding_size:
        raise ValueError(
            f"{name} was built for embeddings of shape (N, {embedding_size}), "
            f"got {tuple(embeddings.shape)}"
        )
    if not embeddings.is_floating_point():
        raise ValueError(f"{name} needs floating-point embeddings, got {embeddings.dtype}")
    check_finite(name, embeddings)


def check_maps_tangents(name: str, distance: BaseDistance | None) -> None:
    """Raise ValueError if a loss with proxies of its own is given a distance for ball points."""
    if isinstance(distance, PoincareDistance) and distance.inputs == "ball":
        raise ValueError(
            f"{name} keeps its proxies as tangent vectors, which a distance with "
            f'inputs="ball" does not map: use inputs="tangent"'
        )
