"""Distances (assumed: the page of BaseDistance could not be read; arguments as in 2.9)."""

import torch

__all__ = ["BaseDistance", "CosineSimilarity", "DotProductSimilarity", "LpDistance"]


class BaseDistance(torch.nn.Module):
    def __init__(self, *, normalize_embeddings=True, p=2, power=1, is_inverted=False):
        super().__init__()
        self.normalize_embeddings = normalize_embeddings
        self.p = p
        self.power = power
        self.is_inverted = is_inverted

    def forward(self, query_emb, ref_emb=None):
        if self.normalize_embeddings:
            query_emb = torch.nn.functional.normalize(query_emb, p=self.p)
            if ref_emb is not None:
                ref_emb = torch.nn.functional.normalize(ref_emb, p=self.p)
        return self.compute_mat(query_emb, ref_emb) ** self.power

    def compute_mat(self, query_emb, ref_emb=None):
        raise NotImplementedError

    def pairwise_distance(self, query_emb, ref_emb):
        raise NotImplementedError

    def margin(self, x, y):
        return y - x if self.is_inverted else x - y


class DotProductSimilarity(BaseDistance):
    def __init__(self, *, normalize_embeddings=False, **options):
        super().__init__(normalize_embeddings=normalize_embeddings, is_inverted=True, **options)

    def compute_mat(self, query_emb, ref_emb=None):
        return query_emb @ (query_emb if ref_emb is None else ref_emb).T


class CosineSimilarity(DotProductSimilarity):
    def __init__(self, **options):
        super().__init__(normalize_embeddings=True, **options)


class LpDistance(BaseDistance):
    def compute_mat(self, query_emb, ref_emb=None):
        ref_emb = query_emb if ref_emb is None else ref_emb
        return torch.cdist(query_emb, ref_emb, p=self.p)
