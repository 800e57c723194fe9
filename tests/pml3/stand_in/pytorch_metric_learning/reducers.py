"""Reducers (assumed: their page could not be read; called as in 2.9)."""

import torch

__all__ = ["BaseReducer", "MeanReducer", "MultipleReducers"]


class BaseReducer(torch.nn.Module):
    def forward(self, loss_dict, embeddings, labels):
        total = embeddings.new_zeros(())
        for term in loss_dict.values():
            is_scalar = term["indices"] is None
            total = total + (term["losses"] if is_scalar else self.reduce(term["losses"]))
        return total

    def reduce(self, losses):
        raise NotImplementedError


class MeanReducer(BaseReducer):
    def reduce(self, losses):
        return losses.mean() if len(losses) else losses.sum()


class MultipleReducers(BaseReducer):
    def __init__(self, reducers, default_reducer=None):
        super().__init__()
        self.reducers = torch.nn.ModuleDict(reducers)
        self.default_reducer = default_reducer or MeanReducer()

    def forward(self, loss_dict, embeddings, labels):
        total = embeddings.new_zeros(())
        for name, term in loss_dict.items():
            # A ModuleDict has no get().
            reducer = dict(self.reducers).get(name, self.default_reducer)
            total = total + reducer({name: term}, embeddings, labels)
        return total
