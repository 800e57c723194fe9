"""RecallAtKMixin: recall at any K, for the AccuracyCalculator of the installed PML."""

from typing import TYPE_CHECKING

from .._pml import IS_VERSION_3

# Type checkers and the documentation see that of PML 2, which has more to say.
if IS_VERSION_3 and not TYPE_CHECKING:
    from .recall_metrics_mixin import RecallMetricsMixin as RecallAtKMixin
else:
    from .recall_at_k_mixin import RecallAtKMixin

__all__ = ["RecallAtKMixin"]
