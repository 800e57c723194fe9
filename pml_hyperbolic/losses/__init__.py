"""Hyperbolic losses for pytorch-metric-learning."""

from .chest_loss import CHESTLoss
from .hier_loss import HIERLoss

__all__ = ["CHESTLoss", "HIERLoss"]
