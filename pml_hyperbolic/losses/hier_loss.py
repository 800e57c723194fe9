"""HIERLoss: learned hierarchical proxies that regularize any metric loss."""

import torch
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.utils import common_functions as c_f

from ..regularizers.mixins import HierarchicalProxiesMixin


class HIERLoss(HierarchicalProxiesMixin, BaseMetricLossFunction):
    """HIER: triplets of points should meet at lower common ancestors among learned proxies.

    Meant to be added to a metric loss on the same embeddings, through PML's ``MultipleLosses``
    with a weight (lambda in the paper: 0.5)::

        losses.MultipleLosses([losses.ProxyAnchorLoss(100, 128), HIERLoss(128)], weights=[1, 0.5])

    Its proxies are parameters: give them to an optimizer. The authors' scripts train them at 50
    times the trunk's learning rate. An ``indices_tuple`` is ignored: HIER draws its own triplets.

    Args:
        embedding_size: D of the embeddings.
        num_proxies: hierarchical proxies, >= 1. Default 512 (paper).
        margin: of the hinges, >= 0. Default 0.1 (paper).
        temperature: of the ancestors' logits, > 0. Default 0.1 (paper).
        num_neighbors: k of the reciprocal neighbours, the point itself included, >= 1. Default 20
            (authors' scripts).
        triplets_per_anchor: draws for each anchor, >= 1. Default 50 (paper).
        distance: any PML distance that is not inverted. Default ``PoincareDistance()``;
            ``LpDistance(power=2)`` gives the paper's spherical HIER.
        kwargs: PML's ``reducer``, ``embedding_regularizer``, ``collect_stats``.

    Shapes: embeddings (N, embedding_size) tangent vectors, labels (N,) required; a point of the
    same class counts as closest. Sub-losses: "data_loss", "proxy_loss"; each part without
    reciprocal triplets is 0.

    Raises:
        ValueError: an argument is out of range, an inverted distance or one with
            ``inputs="ball"``; at call time embeddings of another size or not finite.

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
        c_f.labels_required(labels)
        c_f.ref_not_supported(embeddings, labels, ref_emb, ref_labels)
        return self.hierarchical_losses(embeddings, labels)
