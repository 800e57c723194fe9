from .hier_loss import HIERLoss
