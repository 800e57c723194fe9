"""RecallAtKMixin: recall at any K, for the AccuracyCalculator of the installed PML."""

from typing import Any

from .._pml import IS_VERSION_3

# Any, because a type checker takes no variable as a base class.
RecallAtKMixin: Any
if IS_VERSION_3:
    from .recall_metrics_mixin import RecallMetricsMixin

    RecallAtKMixin = RecallMetricsMixin
else:
    from . import recall_at_k_mixin

    RecallAtKMixin = recall_at_k_mixin.RecallAtKMixin
