"""HIERLoss: learned hierarchical proxies that regularize any metric loss."""

import torch
from pytorch_metric_learning.losses import BaseMetricLossFunction

from .._pml import refuse_references
from ..functional.poincare import full_precision
from ..functional.validation import required_labels
from ..regularizers.hierarchical_proxies_mixin import HierarchicalProxiesMixin


class HIERLoss(HierarchicalProxiesMixin, BaseMetricLossFunction):
    """HIER: points that belong together should meet at a low ancestor among learned proxies.

    Two parts are added: the loss of the batch and that of the proxies themselves. Each draws
    triplets (i, j, k) of reciprocal nearest neighbours i and j and another point k, by relevance
    ``exp(-d)``, plus 1 for a pair of one class; samples proxies a and b as the lowest common
    ancestors of (i, j) and of (i, j, k); and is the mean of ``relu(d_ia - d_ib + margin) +
    relu(d_ja - d_jb + margin) + relu(d_kb - d_ka + margin)``, 0 where a = b. See
    :mod:`pml_hyperbolic.functional.hier`.

    Meant to be added to a metric loss on the same embeddings, through PML's ``MultipleLosses``
    with a weight (lambda in the paper: 0.5)::

        losses.MultipleLosses([losses.ProxyAnchorLoss(100, 128), HIERLoss(128)], weights=[1, 0.5])

    Its proxies are parameters: give them to an optimizer. The authors' scripts train them at 50
    times the trunk's learning rate. An ``indices_tuple`` is ignored: HIER draws its own triplets.

    Args:
        embedding_size: D of the embeddings.
        num_proxies: hierarchical proxies, >= 1. Default 512 (paper).
        margin: of each hinge, >= 0. Default 0.1 (paper).
        temperature: of the ancestors' logits, > 0. Default 0.1 (paper).
        num_neighbors: k of the reciprocal neighbours, the point itself included, >= 1. Default 20
            (authors' scripts).
        triplets_per_anchor: draws for each anchor, >= 1. Default 50 (paper).
        anchor_as_negative: draw an anchor also as its own negative, as the authors' code does by
            accident. Default False (paper).
        distance: any PML distance that is not inverted. Default ``PoincareDistance()``;
            ``LpDistance(power=2)`` gives the paper's spherical HIER.
        kwargs: PML's ``reducer``, ``embedding_regularizer``, ``collect_stats``.

    Shapes: embeddings (N, embedding_size) tangent vectors, labels (N,) required. Sub-losses:
    "data_loss", "proxy_loss"; a part without triplets is 0.

    On an accelerator no step waits for the device, with PML's default reducer.

    Raises:
        ValueError: an argument is out of range, an inverted distance or one with
            ``inputs="ball"``, an embedding regularizer of another hyperbolic geometry; at call time
            no labels, ``ref_emb``, or embeddings of another size or not finite (values are checked
            on the CPU only).

    Source: Kim, Jeong, Kwak, CVPR 2023, arXiv 2212.14258.
    """

    def compute_loss(
        self,
        embeddings: torch.Tensor,
        labels: torch.Tensor | None,
        indices_tuple: tuple | None,
        ref_emb: torch.Tensor,
        ref_labels: torch.Tensor | None,
    ) -> dict:
        """PML's loss dictionary of embeddings (N, embedding_size) with labels (N,)."""
        labels = required_labels("HIERLoss", labels)
        refuse_references("HIERLoss", embeddings, labels, ref_emb, ref_labels)
        embeddings, proxies = self.prepared(embeddings)
        with full_precision(embeddings):
            with torch.no_grad():
                relevance = torch.exp(-self.distance(embeddings))
                relevance += labels.unsqueeze(1) == labels
            loss_dict = {
                "data_loss": self.data_part(relevance, self.distance(embeddings, proxies)),
                "proxy_loss": self.proxy_part(self.distance(proxies)),
            }
        self.record_parts(
            loss_dict, self.clip_saturation(embeddings), self.clip_saturation(self.proxies)
        )
        return loss_dict
