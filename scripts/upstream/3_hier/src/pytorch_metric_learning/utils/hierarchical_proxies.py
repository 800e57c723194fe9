import math

import torch
import torch.nn.functional as F

from ..distances import PoincareDistance
from . import common_functions as c_f


def get_reciprocal_triplets(relevance, num_neighbors, triplets_per_anchor):
    """
    Samples (anchor, positive, negative) indices. Positives are reciprocal neighbors of
    the anchor: each of the two is among the num_neighbors most relevant elements of the
    other (an element counts among its own). Negatives are all others. Anchors with less
    than two positives or with no negatives are skipped.
    Args:
        relevance: tensor of size (N, N), where larger means closer
    Returns: tuple of 3 tensors
    """
    k = min(num_neighbors, len(relevance))
    nearest = relevance.clone().fill_diagonal_(math.inf).topk(k, dim=1)[1]
    is_near = torch.zeros_like(relevance, dtype=torch.bool).scatter_(1, nearest, True)
    pos_mask = is_near & is_near.t()
    neg_mask = ~pos_mask
    pos_mask.fill_diagonal_(False)
    anchors = torch.where((pos_mask.sum(dim=1) >= 2) & neg_mask.any(dim=1))[0]
    if len(anchors) == 0:
        return anchors, anchors, anchors
    positives, negatives = [
        torch.multinomial(mask[anchors].float(), triplets_per_anchor, replacement=True)
        for mask in [pos_mask, neg_mask]
    ]
    anchors = anchors.repeat_interleave(triplets_per_anchor)
    return anchors, positives.flatten(), negatives.flatten()


def get_triplet_losses(distances, triplets, margin, temperature):
    """
    The lowest common ancestor of some elements is a proxy that is near to the farthest
    of them, sampled by straight-through Gumbel-softmax. Anchor and positive should be
    closer to the ancestor of the two than to the ancestor of all three, and the negative
    the other way around.
    Args:
        distances: tensor of size (N, number of proxies)
        triplets: tuple of 3 tensors (anchors, positives, negatives)
    Returns: tensor of the size of anchors
    """
    a_dists, p_dists, n_dists = [distances[idx] for idx in triplets]
    pair_dists = torch.max(a_dists, p_dists)
    all_dists = torch.max(pair_dists, n_dists)
    pair_lca = F.gumbel_softmax(-pair_dists / temperature, hard=True)
    all_lca = F.gumbel_softmax(-all_dists / temperature, hard=True)

    lca_diff = pair_lca - all_lca
    a_gap, p_gap, n_gap = [
        torch.sum(x * lca_diff, dim=1) for x in [a_dists, p_dists, n_dists]
    ]
    losses = F.relu(a_gap + margin) + F.relu(p_gap + margin) + F.relu(margin - n_gap)
    return losses * (pair_lca.argmax(dim=1) != all_lca.argmax(dim=1))


class HierarchicalProxiesMixin:
    """
    The proxies and both parts of HIER: the loss of the batch, and the loss of the
    proxies themselves. Used by losses.HIERLoss and regularizers.HIERRegularizer.
    """

    def __init__(
        self,
        embedding_size,
        num_proxies=512,
        margin=0.1,
        temperature=0.1,
        num_neighbors=20,
        triplets_per_anchor=50,
        **kwargs,
    ):
        super().__init__(**kwargs)
        assert not self.distance.is_inverted
        self.margin = margin
        self.temperature = temperature
        self.num_neighbors = num_neighbors
        self.triplets_per_anchor = triplets_per_anchor
        # Start inside of the radius at which tangent vectors are clipped
        clip_radius = getattr(self.distance, "clip_radius", None)
        radius = 1 if clip_radius is None else 0.9 * clip_radius
        self.proxies = torch.nn.Parameter(
            torch.randn(num_proxies, embedding_size)
            * radius
            / math.sqrt(embedding_size)
        )
        self.add_to_recordable_attributes(
            list_of_names=[
                "margin",
                "temperature",
                "num_neighbors",
                "triplets_per_anchor",
            ],
            is_stat=False,
        )

    def get_hierarchy_losses(self, embeddings, labels=None):
        # The parameters keep their dtype
        dtype = torch.promote_types(embeddings.dtype, self.proxies.dtype)
        embeddings = embeddings.to(dtype)
        proxies = c_f.to_device(self.proxies, tensor=embeddings, dtype=dtype)
        with torch.no_grad():
            relevance = torch.exp(-self.distance(embeddings))
            if labels is not None:
                relevance += labels.unsqueeze(1) == labels
        proxy_mat = self.distance(proxies)
        proxy_relevance = torch.exp(-proxy_mat.detach())

        losses, triplets = self.sample_losses(
            self.distance(embeddings, proxies), relevance
        )
        proxy_losses, _ = self.sample_losses(proxy_mat, proxy_relevance)
        return {
            "data_loss": {
                "losses": losses if len(losses) > 0 else 0,
                "indices": triplets,
                "reduction_type": "triplet",
            },
            # Its triplets are not elements of the batch
            "proxy_loss": {
                "losses": proxy_losses.mean() if len(proxy_losses) > 0 else 0,
                "indices": None,
                "reduction_type": "already_reduced",
            },
        }

    def sample_losses(self, distances, relevance):
        triplets = get_reciprocal_triplets(
            relevance, self.num_neighbors, self.triplets_per_anchor
        )
        losses = get_triplet_losses(distances, triplets, self.margin, self.temperature)
        return losses, triplets

    def get_default_distance(self):
        return PoincareDistance()

    def _sub_loss_names(self):
        return ["data_loss", "proxy_loss"]
