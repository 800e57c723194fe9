"""Subsets: the samples of some classes of a data set, as PML's trainers and testers take them."""

from .class_subset import ClassSubset, keep_batch
from .feature_subset import FeatureSubset
from .image_subset import ImageSubset

__all__ = ["ClassSubset", "FeatureSubset", "ImageSubset", "keep_batch"]
