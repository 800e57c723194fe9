import math

import torch
import torch.nn.functional as F

from ..distances import PoincareDistance
from ..utils import common_functions as c_f
from .base_regularizer import BaseRegularizer


class HypHCRegularizer(BaseRegularizer):
    """
    Adapted from "From Trees to Continuous Embeddings and Back: Hyperbolic Hierarchical Clustering"
    https://arxiv.org/abs/2010.00402
    """

    def __init__(self, temperature=0.05, num_triplets=2000, similarity=None, **kwargs):
        super().__init__(**kwargs)
        c_f.assert_distance_type(self, PoincareDistance)
        self.temperature = temperature
        self.num_triplets = num_triplets
        self.similarity = similarity
        self.add_to_recordable_attributes(
            list_of_names=["temperature", "num_triplets"], is_stat=False
        )

    def compute_loss(self, x):
        if len(x) < 3:
            return {
                "loss": {
                    "losses": 0,
                    "indices": None,
                    "reduction_type": "already_reduced",
                }
            }
        i, j, k = triplets = self.get_triplets(len(x), x.device)
        pairs = [(i, j), (i, k), (j, k)]
        similarity = self.similarity
        if similarity is None:
            similarity = self.get_cosine_similarity(x)
        weights = torch.stack([similarity(a, b) for a, b in pairs], dim=1)
        depths = torch.stack([self.lca_depth(x[a], x[b]) for a, b in pairs], dim=1)
        kept = torch.sum(weights * F.softmax(depths / self.temperature, dim=1), dim=1)
        losses = torch.sum(weights, dim=1) - kept
        return {
            "loss": {
                "losses": losses.to(torch.promote_types(x.dtype, torch.float32)),
                "indices": triplets,
                "reduction_type": "triplet",
            }
        }

    def lca_depth(self, x, y):
        """
        The distance from the origin to the geodesic between x and y, where
        the lowest common ancestor of the two lies
        """
        sqrt_c = math.sqrt(self.distance.c)
        x, y = [sqrt_c * self.distance.maybe_normalize(v.double()) for v in (x, y)]
        xx, yy, xy = [torch.sum(a * b, dim=1) for a, b in [(x, x), (y, y), (x, y)]]
        # The geodesic is an arc around a center of squared norm 1 / inv_center
        chord = torch.sum((y * (1 + xx)[:, None] - x * (1 + yy)[:, None]) ** 2, dim=1)
        inv_center = 4 * (xx * yy - xy**2) / chord.clamp(min=1e-30)
        foot = torch.atanh(inv_center.clamp(min=1e-15, max=1 - 1e-15) ** 0.5)
        # If its point closest to the origin is not between x and y, then it's x or y
        closest = torch.min(xx, yy).clamp(min=1e-15) ** 0.5
        is_between = (xx * (1 + yy) > xy * (1 + xx)) & (yy * (1 + xx) > xy * (1 + yy))
        return torch.where(is_between, foot, 2 * torch.atanh(closest)) / sqrt_c

    def get_cosine_similarity(self, x):
        x = F.normalize(x.detach().double(), dim=1)
        return lambda i, j: (1 + torch.sum(x[i] * x[j], dim=1)) / 2

    def get_triplets(self, n, device):
        """
        Samples triplets of distinct indices
        """
        size = (self.num_triplets,)
        i = torch.randint(n, size, device=device)
        j = torch.randint(n - 1, size, device=device)
        k = torch.randint(n - 2, size, device=device)
        # Skip the indices that are already taken
        j = j + (j >= i).long()
        k = k + (k >= torch.min(i, j)).long()
        k = k + (k >= torch.max(i, j)).long()
        return i, j, k

    def get_default_distance(self):
        return PoincareDistance()
