"""Hyperbolic regularizers for pytorch-metric-learning."""

from .hier_regularizer import HIERRegularizer
from .hyphc_regularizer import HypHCRegularizer

__all__ = ["HIERRegularizer", "HypHCRegularizer"]
