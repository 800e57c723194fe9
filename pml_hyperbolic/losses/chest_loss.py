"""CHESTLoss: SoftTriple in Euclidean and hyperbolic space, the proxies clustered by HypHC."""

import math

import torch
from pytorch_metric_learning.losses import BaseMetricLossFunction, SoftTripleLoss
from pytorch_metric_learning.utils import common_functions as c_f

from ..distances import PoincareSimilarity
from ..functional.poincare import at_least_float32, full_precision
from ..functional.validation import check_count
from ..regularizers import HypHCRegularizer
from ..regularizers.mixins import (
    SubLossRecordsMixin,
    check_embeddings,
    check_maps_tangents,
)


class CHESTLoss(SubLossRecordsMixin, BaseMetricLossFunction):
    """CHEST: one network, a Euclidean and a hyperbolic embedding, each with its own SoftTriple.

    ``euclidean_weight * SoftTriple(cosine) + hyperbolic_weight * SoftTriple(PoincareSimilarity) +
    hierarchy_weight * HypHC(hyperbolic proxies)``. The published text known to us gives the
    composition but neither its equations nor its settings: everything marked "our choice" is
    this project's.

    The proxies of both spaces start as ``randn / sqrt(size)`` times nine tenths of the clip radius
    (our choice): of equal length, so that one learning rate suits both.

    Args:
        num_classes: C, >= 1; labels are 0 to C - 1.
        euclidean_size: D_E, the first coordinates of an embedding.
        hyperbolic_size: D_H, the remaining coordinates: tangent vectors, clipped and mapped here.
        centers_per_class: K proxies a class in each space, >= 1. Default 2 (our choice).
        la: SoftTriple's scale lambda. Default 20 (SoftTriple).
        gamma: SoftTriple's gamma, > 0. Default 0.1 (SoftTriple).
        margin: SoftTriple's delta. Default 0.01 (SoftTriple).
        euclidean_weight, hyperbolic_weight: >= 0, default 1 (our choice). A part of weight 0 is
            not computed.
        hierarchy_weight: of HypHC, >= 0. Default 0: in our ablation on Omniglot and GroceryStore
            (README) it changed nothing that could be shown. 1 is the published composition.
        distance: inverted PoincareDistance of the hyperbolic part. Default
            ``PoincareSimilarity()``, whose range is cosine's, so both spaces share la, gamma and
            margin (our choice).
        hierarchy_similarity: how similar two hyperbolic proxies are to HypHC. "euclidean"
            (default, our choice): (1 + cosine) / 2 of the Euclidean proxies of the same class and
            centre, without gradient: the flat space teaches the tree. "class": 1 within a class,
            else 0.
        hierarchy_regularizer: a HypHCRegularizer with a similarity of its own, in place of that.
            Either needs a ``hierarchy_weight`` > 0.
        kwargs: PML's ``reducer``, ``embedding_regularizer``, ``collect_stats``.

    Shapes: embeddings (N, euclidean_size + hyperbolic_size), labels (N,). Sub-losses:
    "euclidean_loss", "hyperbolic_loss" (one value an element), "hierarchy_loss".

    Raises:
        ValueError: an argument is out of range; at call time embeddings of another size or not
            finite, or labels out of range (checked on the CPU only).

    Source: Saeki, Kawahara, Aman, arXiv 2510.05643; SoftTriple: Qian et al., ICCV 2019.
    """

    def __init__(
        self,
        num_classes: int,
        euclidean_size: int,
        hyperbolic_size: int,
        *,
        centers_per_class: int = 2,
        la: float = 20,
        gamma: float = 0.1,
        margin: float = 0.01,
        euclidean_weight: float = 1,
        hyperbolic_weight: float = 1,
        hierarchy_weight: float = 0,
        distance: PoincareSimilarity | None = None,
        hierarchy_similarity: str | None = None,
        hierarchy_regularizer: HypHCRegularizer | None = None,
        **kwargs,
    ):
        for argument, count in (
            ("num_classes", num_classes),
            ("euclidean_size", euclidean_size),
            ("hyperbolic_size", hyperbolic_size),
            ("centers_per_class", centers_per_class),
        ):
            check_count("CHESTLoss", argument, count)
        weights = (euclidean_weight, hyperbolic_weight, hierarchy_weight)
        if not all(math.isfinite(w) and w >= 0 for w in weights):
            raise ValueError(f"CHESTLoss needs finite weights >= 0, got {weights}")
        if not any(weights):
            raise ValueError(
                "CHESTLoss needs a weight > 0, got three zeros: it would learn nothing"
            )
        for argument, value in (("la", la), ("gamma", gamma)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"CHESTLoss needs a finite {argument} > 0, got {value}")
        if not (math.isfinite(margin) and margin >= 0):
            raise ValueError(f"CHESTLoss needs a finite margin >= 0, got {margin}")
        if distance is not None and not isinstance(distance, PoincareSimilarity):
            raise ValueError(
                f"CHESTLoss needs a similarity on the Poincare ball, got "
                f"{type(distance).__name__}: use PoincareSimilarity()"
            )
        check_maps_tangents("CHESTLoss", distance)
        _check_similarity(hierarchy_similarity, hierarchy_regularizer)
        super().__init__(distance=distance, **kwargs)
        self.num_classes = num_classes
        self.centers_per_class = centers_per_class
        self.euclidean_size = euclidean_size
        self.hyperbolic_size = hyperbolic_size
        self.euclidean_weight = euclidean_weight
        self.hyperbolic_weight = hyperbolic_weight
        self.hierarchy_weight = hierarchy_weight
        self.euclidean, self.hyperbolic = (
            SoftTripleLoss(
                num_classes,
                size,
                centers_per_class=centers_per_class,
                la=la,
                gamma=gamma,
                margin=margin,
                # The cosine does not see the length of Euclidean proxies, but their learning rate
                # does: of one length, the proxies of both spaces turn at one speed.
                weight_init_func=c_f.TorchInitWrapper(
                    torch.nn.init.normal_, std=self.distance.initial_radius / math.sqrt(size)
                ),
                distance=distance,
            )
            for size, distance in ((euclidean_size, None), (hyperbolic_size, self.distance))
        )
        by_class = hierarchy_similarity == "class"
        self.hierarchy = self._checked(hierarchy_regularizer) or HypHCRegularizer(
            similarity=self._same_class if by_class else self._euclidean_proxy_similarity,
            distance=self.distance,
        )
        given = hierarchy_similarity is not None or hierarchy_regularizer is not None
        if given and hierarchy_weight == 0:
            raise ValueError(
                "CHESTLoss does not use hierarchy_similarity or hierarchy_regularizer at "
                "hierarchy_weight 0: give a weight, such as 1"
            )
        self.add_to_recordable_attributes(
            list_of_names=[
                "num_classes",
                "euclidean_size",
                "hyperbolic_size",
                "euclidean_weight",
                "hyperbolic_weight",
                "hierarchy_weight",
            ],
            is_stat=False,
        )

    def forward(
        self, embeddings: torch.Tensor, labels: torch.Tensor | None = None, *args, **kwargs
    ) -> torch.Tensor:
        """The loss of embeddings (N, D_E + D_H) with labels (N,); the rest as PML's base class."""
        check_embeddings("CHESTLoss", embeddings, self.euclidean_size + self.hyperbolic_size)
        c_f.labels_required(labels)
        if labels.is_floating_point() or labels.dtype == torch.bool:
            raise ValueError(f"CHESTLoss needs integer labels, got {labels.dtype}")
        labels = labels.long()
        if labels.device.type == "cpu" and len(labels):
            lowest, highest = int(labels.min()), int(labels.max())
            if lowest < 0 or highest >= self.num_classes:
                raise ValueError(
                    f"CHESTLoss was built for labels 0 to {self.num_classes - 1}, "
                    f"got labels from {lowest} to {highest}"
                )
        # PML's SoftTripleLoss would turn its proxies into the embeddings' dtype, for good.
        embeddings = embeddings.to(self.euclidean.fc.dtype)
        with full_precision(embeddings):
            return super().forward(embeddings, labels, *args, **kwargs)

    def compute_loss(
        self,
        embeddings: torch.Tensor,
        labels: torch.Tensor,
        indices_tuple: tuple | None,
        ref_emb: torch.Tensor,
        ref_labels: torch.Tensor | None,
    ) -> dict:
        """PML's loss dictionary of embeddings (N, D_E + D_H) with labels (N,)."""
        c_f.ref_not_supported(embeddings, labels, ref_emb, ref_labels)
        euclidean, hyperbolic = self.split_spaces(embeddings)
        loss_dict = {
            "euclidean_loss": self._soft_triple_part(
                self.euclidean, self.euclidean_weight, euclidean, labels, indices_tuple
            ),
            "hyperbolic_loss": self._soft_triple_part(
                self.hyperbolic, self.hyperbolic_weight, hyperbolic, labels, indices_tuple
            ),
            "hierarchy_loss": self._hierarchy_part(),
        }
        self.record_parts(
            loss_dict,
            self.distance.clip_saturation(hyperbolic),
            self.distance.clip_saturation(self.hyperbolic.fc.t()),
        )
        return loss_dict

    def get_logits(self, embeddings: torch.Tensor, space: str = "hyperbolic") -> torch.Tensor:
        """(N, C) class similarities of embeddings (N, D_E + D_H) in one space.

        Args:
            space: "hyperbolic" (default) or "euclidean".

        Raises:
            ValueError: another space, or embeddings of another size or not finite.
        """
        check_embeddings("CHESTLoss", embeddings, self.euclidean_size + self.hyperbolic_size)
        if space not in ("euclidean", "hyperbolic"):
            raise ValueError(f'space must be "euclidean" or "hyperbolic", got {space!r}')
        part = self.euclidean if space == "euclidean" else self.hyperbolic
        with full_precision(embeddings):
            euclidean, hyperbolic = self.split_spaces(embeddings.to(part.fc.dtype))
            return part.get_logits(euclidean if space == "euclidean" else hyperbolic)

    def split_spaces(self, embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The Euclidean (N, D_E) and the hyperbolic (N, D_H) part of embeddings."""
        return embeddings.split([self.euclidean_size, self.hyperbolic_size], dim=1)

    def _checked(self, regularizer):
        if regularizer is None:
            return None
        if not isinstance(regularizer, HypHCRegularizer):
            raise ValueError(
                f"CHESTLoss takes a HypHCRegularizer as hierarchy_regularizer, got "
                f"{type(regularizer).__name__}"
            )
        own, other = ((d.c, d.clip_radius) for d in (self.distance, regularizer.distance))
        if own != other:
            raise ValueError(
                f"hierarchy_regularizer must share the loss's geometry, (c, clip_radius) = {own}, "
                f"got {other}: give both one distance object"
            )
        return regularizer

    def get_default_distance(self) -> PoincareSimilarity:
        return PoincareSimilarity()

    def _sub_loss_names(self):
        return ["euclidean_loss", "hyperbolic_loss", "hierarchy_loss"]

    def _soft_triple_part(self, soft_triple, weight, embeddings, labels, indices_tuple):
        if weight == 0 or len(embeddings) == 0:
            return self.zero_loss()
        part = soft_triple.compute_loss(embeddings, labels, indices_tuple, embeddings, labels)
        return {**part["loss"], "losses": part["loss"]["losses"] * weight}

    def _hierarchy_part(self):
        if self.hierarchy_weight == 0:
            return self.zero_loss()
        loss = self.hierarchy(self.hyperbolic.fc.t()) * self.hierarchy_weight
        return {"losses": loss, "indices": None, "reduction_type": "already_reduced"}

    def _euclidean_proxy_similarity(self, i, j):
        """(1 + cosine) / 2 of Euclidean proxies: the default teacher of the hierarchy."""
        dtype = at_least_float32(self.euclidean.fc.dtype)
        first, second = (self.euclidean.fc.detach().index_select(1, k).to(dtype) for k in (i, j))
        return (1 + torch.cosine_similarity(first, second, dim=0)) / 2

    def _same_class(self, i, j):
        """1 for proxies of one class, else 0; a class's centres lie side by side."""
        same = i // self.centers_per_class == j // self.centers_per_class
        return same.to(at_least_float32(self.euclidean.fc.dtype))


def _check_similarity(similarity, regularizer):
    if similarity not in (None, "euclidean", "class"):
        raise ValueError(
            f'CHESTLoss needs hierarchy_similarity "euclidean" or "class", got {similarity!r}'
        )
    if similarity is not None and regularizer is not None:
        raise ValueError(
            "CHESTLoss takes hierarchy_similarity or hierarchy_regularizer, which has a similarity "
            "of its own: leave one out"
        )
