from ..utils.hierarchical_proxies import HierarchicalProxiesMixin
from .base_regularizer import BaseRegularizer


class HIERRegularizer(HierarchicalProxiesMixin, BaseRegularizer):
    """
    HIER (https://arxiv.org/abs/2212.14258) without labels
    """

    def compute_loss(self, embeddings):
        return self.get_hierarchy_losses(embeddings)

    def sub_loss_names(self):
        return self._sub_loss_names()
