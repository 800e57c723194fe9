"""Regularizers (assumed: their page could not be read; the hooks are named as those of losses)."""

import torch

from ._terms import checked_terms
from .distances import LpDistance
from .reducers import MeanReducer

__all__ = ["BaseRegularizer", "LpRegularizer"]


class BaseRegularizer(torch.nn.Module):
    def __init__(self, *, distance=None, reducer=None):
        super().__init__()
        self.distance = self.default_distance() if distance is None else distance
        self.reducer = self.default_reducer() if reducer is None else reducer

    def default_distance(self):
        return LpDistance()

    def default_reducer(self):
        return MeanReducer()

    def compute_loss(self, embeddings):
        raise NotImplementedError

    def forward(self, embeddings):
        return self.reducer(checked_terms(self.compute_loss(embeddings)), embeddings, None)


class LpRegularizer(BaseRegularizer):
    def compute_loss(self, embeddings):
        rows = torch.arange(len(embeddings), device=embeddings.device)
        return {"loss": {"losses": embeddings.norm(dim=1), "indices": rows}}
