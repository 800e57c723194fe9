"""Training over several processes: collectives, the batch of all of them, and their gradients."""

from .distributed_loss import DistributedLoss

__all__ = ["DistributedLoss"]
