"""Miners: called as losses are (page: losses/multiple_losses); they return named tuples (types)."""

import torch

from .distances import CosineSimilarity
from .types import PairIndices
from .utils import indexing

__all__ = ["BaseMiner", "PairMarginMiner"]


class BaseMiner(torch.nn.Module):
    def __init__(self, *, distance=None):
        super().__init__()
        self.distance = self.default_distance() if distance is None else distance

    def default_distance(self):
        return CosineSimilarity()

    def forward(self, embeddings, labels, indices_tuple=None, ref_emb=None, ref_labels=None):
        with torch.no_grad():
            return self.mine(embeddings, labels, ref_emb, ref_labels)


class PairMarginMiner(BaseMiner):
    def __init__(self, pos_margin=0.2, neg_margin=0.8, **options):
        super().__init__(**options)
        self.pos_margin = pos_margin
        self.neg_margin = neg_margin

    def mine(self, embeddings, labels, ref_emb, ref_labels):
        mat = self.distance(embeddings, ref_emb)
        a1, p, a2, n = indexing.get_all_pairs_indices(labels, ref_labels)
        far = self.distance.margin(mat[a1, p], self.pos_margin) > 0
        near = self.distance.margin(self.neg_margin, mat[a2, n]) > 0
        return PairIndices(a1[far], p[far], a2[near], n[near])
