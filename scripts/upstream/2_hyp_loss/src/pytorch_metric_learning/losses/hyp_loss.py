import torch
import torch.nn.functional as F

from ..distances import PoincareDistance
from ..utils import common_functions as c_f
from .base_metric_loss_function import BaseMetricLossFunction


class HypLoss(BaseMetricLossFunction):
    """
    Implements the pairwise cross-entropy loss from
    "Hyperbolic Vision Transformers: Combining Improvements in Metric Learning"
    https://arxiv.org/abs/2203.10833
    """

    def __init__(self, temperature=0.2, **kwargs):
        super().__init__(**kwargs)
        self.temperature = temperature
        self.add_to_recordable_attributes(list_of_names=["temperature"], is_stat=False)

    def compute_loss(self, embeddings, labels, indices_tuple, ref_emb, ref_labels):
        # The loss compares all views of one batch
        c_f.labels_required(labels)
        c_f.indices_tuple_not_supported(indices_tuple)
        c_f.ref_not_supported(embeddings, labels, ref_emb, ref_labels)
        views = self.get_views(labels)
        num_views, num_classes = views.shape

        mat = self.distance(embeddings[views.flatten()])
        mat = mat if self.distance.is_inverted else -mat
        # logits[i, :, j] compares view i of all classes with view j of all classes
        logits = (mat / self.temperature).view(
            num_views, num_classes, num_views, num_classes
        )
        self_mask = torch.eye(num_classes, dtype=torch.bool, device=mat.device)
        targets = torch.arange(num_classes, device=mat.device)

        losses, anchors, positives = [], [], []
        for i in range(num_views):
            within_view = logits[i, :, i].masked_fill(self_mask, c_f.neg_inf(mat.dtype))
            for j in range(num_views):
                if i != j:
                    curr_logits = torch.cat([logits[i, :, j], within_view], dim=1)
                    losses.append(
                        F.cross_entropy(curr_logits, targets, reduction="none")
                    )
                    anchors.append(views[i])
                    positives.append(views[j])

        # The paper sums over the pairs of views, and averages over the classes
        num_pairs = len(losses)
        return {
            "loss": {
                "losses": torch.cat(losses) * num_pairs,
                "indices": (torch.cat(anchors), torch.cat(positives)),
                "reduction_type": "pos_pair",
            }
        }

    def get_views(self, labels):
        """
        Returns a matrix of size (number of views, number of classes).
        Row i has the batch index of the ith element of every class
        """
        counts = torch.unique(labels, return_counts=True)[1]
        if len(counts) == 0 or counts.min() != counts.max() or counts.max() < 2:
            raise ValueError(
                "All classes must have the same number of elements in the batch, and at least 2. "
                "You can achieve this using samplers.MPerClassSampler and setting batch_size and m."
            )
        # sort by label, and by batch index within each label
        labels = torch.unique(labels, return_inverse=True)[1]
        sorted_idx = torch.argsort(
            labels * len(labels) + c_f.torch_arange_from_size(labels)
        )
        return sorted_idx.view(len(counts), -1).t()

    def get_default_distance(self):
        return PoincareDistance()
