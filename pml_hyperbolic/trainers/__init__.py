"""PML trainers that keep precision, geometry and parameters intact."""

from .finite_check import FiniteCheck, NonFiniteError
from .metric_loss_only import MetricLossOnly
from .optimizer_coverage import check_optimizer_coverage

__all__ = ["FiniteCheck", "MetricLossOnly", "NonFiniteError", "check_optimizer_coverage"]
