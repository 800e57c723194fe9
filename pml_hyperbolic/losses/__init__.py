"""Hyperbolic losses for pytorch-metric-learning."""

from .chest_loss import CHESTLoss
from .hier_loss import HIERLoss
from .hyp_loss import HypLoss

__all__ = ["CHESTLoss", "HIERLoss", "HypLoss"]
