"""Data sets of the benchmarks, by their name in a protocol."""

from .digits import Digits
from .image_data import ImageData
from .image_subset import ImageSubset

DATASETS: dict[str, type[ImageData]] = {"digits": Digits}

__all__ = ["DATASETS", "Digits", "ImageData", "ImageSubset"]
