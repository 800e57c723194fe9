"""CHESTLoss: SoftTriple in Euclidean and in hyperbolic space, with proxies clustered by HypHC."""

import contextlib
import functools
import math

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import BaseMetricLossFunction, SoftTripleLoss

from .._pml import (
    loss_term,
    refuse_references,
    self_references,
    soft_triple_proxies,
    zero_term,
)
from ..distances import PoincareSimilarity, check_shared_geometry
from ..functional.poincare import at_least_float32, full_precision
from ..functional.reading_waits import reading_waits
from ..functional.validation import (
    check_choice,
    check_counts,
    check_embeddings,
    check_instance,
    check_labels,
    check_maps_tangents,
    check_not_negative,
    check_positive,
    is_readable,
    required_labels,
)
from ..regularizers import HypHCRegularizer
from ..regularizers.sub_loss_records_mixin import SubLossRecordsMixin

# F.normalize, which PML's cosine uses, scales shorter vectors than this to less than unit length.
_SHORTEST_NORMALIZED = 1e-12


class CHESTLoss(SubLossRecordsMixin, BaseMetricLossFunction):
    """CHEST: one network, a Euclidean and a hyperbolic embedding, each with its own SoftTriple.

    ``euclidean_weight * SoftTriple(cosine) + hyperbolic_weight * SoftTriple(PoincareSimilarity) +
    hierarchy_weight * HypHC(hyperbolic proxies)``. The published text known to us gives the
    composition but neither its equations nor its settings: everything marked "our choice" is
    this project's.

    The proxies of both spaces start as ``randn / sqrt(size)`` times nine tenths of the clip radius
    (our choice). They are of equal length, so that one learning rate suits both.

    The gradient of a cosine grows as 1 / length. A Euclidean part so short that a gradient of
    ``2 * la * euclidean_weight / length`` overflows its dtype, such as a row of zeros, counts as
    one without direction: its cosine with everything is 0, and it receives no gradient (our
    choice). In float16 this is below 0.0006 by default, in wider dtypes below 1e-12.

    Args:
        num_classes: C, >= 1; labels are 0 to C - 1.
        euclidean_size: D_E, the first coordinates of an embedding.
        hyperbolic_size: D_H, the remaining coordinates: tangent vectors, which are clipped and
            mapped here.
        centers_per_class: K proxies a class in each space, >= 1. Default 2 (our choice).
        la: SoftTriple's scale lambda. Default 20 (SoftTriple).
        gamma: SoftTriple's gamma, > 0. Default 0.1 (SoftTriple).
        margin: SoftTriple's delta. Default 0.01 (SoftTriple).
        euclidean_weight, hyperbolic_weight: 0 or more. Default 1 (our choice). A part of weight 0
            is not computed.
        hierarchy_weight: of HypHC, >= 0. Default 0, since our ablation on Omniglot and
            GroceryStore (docs/results.md) showed no effect. 1 is the published composition.
        distance: inverted PoincareDistance of the hyperbolic part. Default
            ``PoincareSimilarity()``, whose range is cosine's, so both spaces share la, gamma and
            margin (our choice).
        hierarchy_similarity: the similarity of two hyperbolic proxies that HypHC takes.
            "euclidean" (default, our choice) is (1 + cosine) / 2 of the Euclidean proxies of the
            same class and centre, without gradient: the flat space teaches the tree. "class" is 1
            within a class, else 0.
        hierarchy_regularizer: a HypHCRegularizer with a similarity of its own, in place of the
            default one. Like ``hierarchy_similarity`` it needs a ``hierarchy_weight`` > 0.
        kwargs: PML's ``reducer``, ``embedding_regularizer``, ``collect_stats``.

    Shapes: embeddings (N, euclidean_size + hyperbolic_size), labels (N,). Sub-losses:
    "euclidean_loss", "hyperbolic_loss" (one value an element), "hierarchy_loss".

    Raises:
        ValueError: an argument is out of range, or a regularizer of another hyperbolic geometry; at
            call time no labels, ``ref_emb``, embeddings of another size or not finite, or labels
            out of range (values are checked on the CPU only).

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
        name = "CHESTLoss"
        check_counts(
            name,
            num_classes=num_classes,
            euclidean_size=euclidean_size,
            hyperbolic_size=hyperbolic_size,
            centers_per_class=centers_per_class,
        )
        check_positive(name, la=la, gamma=gamma)
        check_not_negative(
            name,
            margin=margin,
            euclidean_weight=euclidean_weight,
            hyperbolic_weight=hyperbolic_weight,
            hierarchy_weight=hierarchy_weight,
        )
        if not any((euclidean_weight, hyperbolic_weight, hierarchy_weight)):
            raise ValueError(f"{name} needs a weight > 0, got three zeros: it would learn nothing")
        super().__init__(distance=distance, **kwargs)
        distance = self.distance
        check_instance(name, "distance", distance, PoincareSimilarity)
        check_maps_tangents(name, distance)
        check_shared_geometry(self)
        _check_hierarchy(hierarchy_weight, hierarchy_similarity, hierarchy_regularizer, distance)
        self.num_classes = num_classes
        self.centers_per_class = centers_per_class
        self.euclidean_size = euclidean_size
        self.hyperbolic_size = hyperbolic_size
        self.euclidean_weight = euclidean_weight
        self.hyperbolic_weight = hyperbolic_weight
        self.hierarchy_weight = hierarchy_weight

        def soft_triple(size, space):
            # The cosine does not see the length of Euclidean proxies, but their learning rate
            # does: of equal length, the proxies of both spaces turn at the same speed.
            std = distance.initial_radius / math.sqrt(size)
            return _SoftTriple(
                num_classes,
                size,
                centers_per_class=centers_per_class,
                la=la,
                gamma=gamma,
                margin=margin,
                weight_init_func=functools.partial(torch.nn.init.normal_, std=std),
                distance=space,
            )

        self.euclidean = soft_triple(euclidean_size, CosineSimilarity())
        self.hyperbolic = soft_triple(hyperbolic_size, distance)
        by_class = hierarchy_similarity == "class"
        self.hierarchy = hierarchy_regularizer or HypHCRegularizer(
            similarity=self._same_class if by_class else self._euclidean_proxy_similarity,
            distance=distance,
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

    def compute_loss(
        self,
        embeddings: torch.Tensor,
        labels: torch.Tensor | None,
        indices_tuple: tuple | None,
        ref_emb: torch.Tensor,
        ref_labels: torch.Tensor | None,
    ) -> dict:
        """PML's loss dictionary of embeddings (N, D_E + D_H) with labels (N,)."""
        labels = required_labels("CHESTLoss", labels)
        refuse_references("CHESTLoss", embeddings, labels, ref_emb, ref_labels)
        # As in forward, through which the loss_terms of PML 3 do not pass.
        embeddings, labels = self._prepared(embeddings, labels)
        with full_precision(embeddings):
            return self._parts(embeddings, labels, indices_tuple)

    def _prepared(self, embeddings, labels):
        labels = required_labels("CHESTLoss", labels)
        check_labels("CHESTLoss", labels, self.num_classes)
        return self._checked(embeddings), labels.long()

    def _parts(self, embeddings, labels, indices_tuple):
        euclidean, hyperbolic = self.split_spaces(embeddings)

        def soft_triple_part(weight, soft_triple, vectors):
            if weight == 0 or len(vectors) == 0:
                return zero_term(vectors)
            references = self_references(vectors, labels)
            terms = soft_triple.compute_loss(vectors, labels, indices_tuple, *references)
            (part,) = terms.values()
            return {**part, "losses": weight * part["losses"]}

        loss_dict = {
            "euclidean_loss": soft_triple_part(self.euclidean_weight, self.euclidean, euclidean),
            "hyperbolic_loss": soft_triple_part(
                self.hyperbolic_weight, self.hyperbolic, hyperbolic
            ),
            "hierarchy_loss": zero_term(embeddings),
        }
        hyperbolic_proxies = self.hyperbolic.proxies
        if self.hierarchy_weight > 0:
            loss_dict["hierarchy_loss"] = loss_term(
                self.hierarchy_weight * self.hierarchy(hyperbolic_proxies)
            )
        self.record_parts(
            loss_dict,
            self.distance.clip_saturation(hyperbolic),
            self.distance.clip_saturation(hyperbolic_proxies),
        )
        return loss_dict

    def forward(
        self, embeddings: torch.Tensor, labels: torch.Tensor | None = None, *args, **kwargs
    ) -> torch.Tensor:
        """The loss of embeddings (N, D_E + D_H) with labels (N,); the rest as PML's base class."""
        # PML's reducers add the parts in the dtype of the embeddings.
        embeddings, labels = self._prepared(embeddings, labels)
        with full_precision(embeddings):
            return super().forward(embeddings, labels, *args, **kwargs)

    def get_logits(self, embeddings: torch.Tensor, space: str = "hyperbolic") -> torch.Tensor:
        """(N, C) class similarities of embeddings (N, D_E + D_H) in one space.

        Args:
            space: "hyperbolic" (default) or "euclidean".

        Raises:
            ValueError: another space, or embeddings of another size or not finite.
        """
        check_choice("CHESTLoss", "space", space, ("euclidean", "hyperbolic"))
        embeddings = self._checked(embeddings)
        with full_precision(embeddings):
            euclidean, hyperbolic = self.split_spaces(embeddings)
            if space == "euclidean":
                return self.euclidean.get_logits(euclidean)
            return self.hyperbolic.get_logits(hyperbolic)

    def split_spaces(self, embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The Euclidean (N, D_E) and the hyperbolic (N, D_H) part of embeddings."""
        return embeddings.split([self.euclidean_size, self.hyperbolic_size], dim=1)

    def default_distance(self) -> PoincareSimilarity:
        return PoincareSimilarity()

    get_default_distance = default_distance  # its name in PML 2

    def _sub_loss_names(self):
        return ["euclidean_loss", "hyperbolic_loss", "hierarchy_loss"]

    def _checked(self, embeddings):
        """Embeddings in the proxies' dtype, to which PML's SoftTripleLoss would turn its proxies.

        Euclidean parts without a direction become constant zeros.
        """
        check_embeddings("CHESTLoss", embeddings, self.euclidean_size + self.hyperbolic_size)
        slope = 2 * self.euclidean.la * self.euclidean_weight
        shortest = max(_SHORTEST_NORMALIZED, slope / torch.finfo(embeddings.dtype).max)
        embeddings = embeddings.to(self.euclidean.proxies.dtype)
        euclidean, hyperbolic = self.split_spaces(embeddings)
        length = torch.linalg.vector_norm(euclidean.detach(), dim=1, keepdim=True)
        if is_readable(length) and not (length < shortest).any():
            return embeddings  # which saves a copy
        return torch.cat([torch.where(length < shortest, 0, euclidean), hyperbolic], dim=1)

    def _euclidean_proxy_similarity(self, i, j):
        """(1 + cosine) / 2 of Euclidean proxies: the default teacher of the hierarchy."""
        columns = self.euclidean.proxies.detach().t()
        dtype = at_least_float32(columns.dtype)
        first, second = (columns.index_select(1, k).to(dtype) for k in (i, j))
        return (1 + torch.cosine_similarity(first, second, dim=0)) / 2

    def _same_class(self, i, j):
        """1 for proxies of one class, else 0; a class's centres lie side by side."""
        same = i // self.centers_per_class == j // self.centers_per_class
        return same.to(at_least_float32(self.euclidean.proxies.dtype))


class _SoftTriple(SoftTripleLoss):
    """PML's SoftTripleLoss without its two obstacles to torch.func and to asynchronous devices."""

    @property
    def proxies(self):
        return soft_triple_proxies(self)

    def cast_types(self, dtype, device):
        # PML 2 assigns to ``.data`` at every call, which torch.func forbids.
        if self.fc.dtype != dtype or self.fc.device != device:
            super().cast_types(dtype, device)

    def compute_loss(self, embeddings, *args):
        # PML numbers the rows on the default device. Numbers on the CPU would have to be copied to
        # an accelerator, which waits for it.
        device = embeddings.device
        with device if reading_waits(device) else contextlib.nullcontext():
            return super().compute_loss(embeddings, *args)


def _check_hierarchy(weight, similarity, regularizer, distance):
    if similarity is not None:
        check_choice("CHESTLoss", "hierarchy_similarity", similarity, ("euclidean", "class"))
    if regularizer is not None:
        check_instance("CHESTLoss", "hierarchy_regularizer", regularizer, HypHCRegularizer)
        if similarity is not None:
            raise ValueError(
                "CHESTLoss takes hierarchy_similarity or hierarchy_regularizer, which has a "
                "similarity of its own: leave one out"
            )
        own, other = (
            (d.c, d.clip_radius, d.clip, d.inputs) for d in (distance, regularizer.distance)
        )
        if own != other:
            raise ValueError(
                f"hierarchy_regularizer must share the loss's geometry, (c, clip_radius, clip, "
                f"inputs) = {own}, got {other}: give both one distance object"
            )
    if weight == 0 and not (similarity is None and regularizer is None):
        raise ValueError(
            "CHESTLoss does not use hierarchy_similarity or hierarchy_regularizer at "
            "hierarchy_weight 0: give a weight, such as 1"
        )
