"""Data sets of the benchmarks, by their name in a protocol."""

from .digits import Digits
from .grocery_store import GroceryStore
from .image_data import ImageData
from .image_subset import ImageSubset
from .labelled_data import LabelledData
from .omniglot import Omniglot

DATASETS: dict[str, type[LabelledData]] = {
    "digits": Digits,
    "grocery": GroceryStore,
    "omniglot": Omniglot,
}

__all__ = [
    "DATASETS",
    "Digits",
    "GroceryStore",
    "ImageData",
    "ImageSubset",
    "LabelledData",
    "Omniglot",
]
