from .hyp_loss import HypLoss
