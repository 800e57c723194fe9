"""Distributed wrappers (migration guide: they live in ``distributed``)."""

import torch

__all__ = ["DistributedLossWrapper"]


class DistributedLossWrapper(torch.nn.Module):
    def __init__(self, loss, **options):
        super().__init__()
        self.loss = loss
