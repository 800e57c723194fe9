"""Training in several processes: the whole batch, its gradients, and one trainer for all ranks.

``gradients`` states the rule by which the gradients of all processes become those of one.
"""

from .distributed_loss import DistributedLoss

__all__ = ["DistributedLoss"]
