"""Hyperbolic losses for pytorch-metric-learning."""

from .chest_loss import CHESTLoss
from .hier_loss import HIERLoss
from .hyp_loss import HypLoss
from .multi_level_loss import MultiLevelLoss

__all__ = ["CHESTLoss", "HIERLoss", "HypLoss", "MultiLevelLoss"]
