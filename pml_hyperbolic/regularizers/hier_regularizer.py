"""HIERRegularizer: HIER's hierarchical proxies without labels, for any metric loss."""

import torch
from pytorch_metric_learning.regularizers import BaseRegularizer

from ..functional.poincare import full_precision
from .hierarchical_proxies_mixin import HierarchicalProxiesMixin


class HIERRegularizer(HierarchicalProxiesMixin, BaseRegularizer):
    """HIER as an ``embedding_regularizer=`` of any PML loss: the hierarchy is found unsupervised.

    Where labels are at hand, :class:`~pml_hyperbolic.losses.HIERLoss` is the paper's method; here
    relevance is ``exp(-d)`` alone. Its proxies are parameters: give them to an optimizer. Its
    distance is the loss's own object, where that is hyperbolic: see
    :func:`~pml_hyperbolic.distances.check_shared_geometry`.

    Args:
        embedding_size, num_proxies: as HIERLoss.
        margin, temperature, num_neighbors, triplets_per_anchor, anchor_as_negative: as HIERLoss.
        distance: as HIERLoss.
        kwargs: PML's ``reducer`` and ``collect_stats``.

    Shapes: embeddings (N, embedding_size). Sub-losses: "data_loss", "proxy_loss".

    Raises:
        ValueError: as HIERLoss refuses its arguments and embeddings.

    Source: Kim, Jeong, Kwak, CVPR 2023, arXiv 2212.14258.
    """

    def compute_loss(self, x: torch.Tensor) -> dict:
        """PML's loss dictionary of embeddings (N, embedding_size)."""
        x, proxies = self.prepared(x)
        with full_precision(x):
            with torch.no_grad():
                relevance = torch.exp(-self.distance(x))
            loss_dict = {
                "data_loss": self.data_part(relevance, self.distance(x, proxies)),
                "proxy_loss": self.proxy_part(self.distance(proxies)),
            }
        self.record_parts(loss_dict, self.clip_saturation(x), self.clip_saturation(self.proxies))
        return loss_dict

    def sub_loss_names(self) -> list[str]:
        return self._sub_loss_names()
