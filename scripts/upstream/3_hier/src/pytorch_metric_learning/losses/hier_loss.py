from ..utils import common_functions as c_f
from ..utils.hierarchical_proxies import HierarchicalProxiesMixin
from .base_metric_loss_function import BaseMetricLossFunction


class HIERLoss(HierarchicalProxiesMixin, BaseMetricLossFunction):
    """
    Implements "HIER: Metric Learning Beyond Class Labels via Hierarchical Regularization"
    https://arxiv.org/abs/2212.14258
    """

    def compute_loss(self, embeddings, labels, indices_tuple, ref_emb, ref_labels):
        c_f.labels_required(labels)
        c_f.ref_not_supported(embeddings, labels, ref_emb, ref_labels)
        # indices_tuple is ignored. The loss samples its own triplets
        return self.get_hierarchy_losses(embeddings, labels)
