"""Data sets of the benchmarks, by their name in a protocol."""

from .cars196 import Cars196
from .class_subset import ClassSubset
from .cub200 import CUB200
from .digits import Digits
from .feature_data import FeatureData
from .feature_subset import FeatureSubset
from .grocery_store import GroceryStore
from .image_data import ImageData
from .image_folder import ImageFolder
from .image_subset import ImageSubset, keep_batch
from .in_shop import InShop
from .labelled_data import LabelledData
from .omniglot import Omniglot
from .stanford_online_products import StanfordOnlineProducts

DATASETS: dict[str, type[LabelledData]] = {
    "cars196": Cars196,
    "cub200": CUB200,
    "digits": Digits,
    "features": FeatureData,
    "grocery": GroceryStore,
    "image_folder": ImageFolder,
    "inshop": InShop,
    "omniglot": Omniglot,
    "sop": StanfordOnlineProducts,
}

__all__ = [
    "CUB200",
    "DATASETS",
    "Cars196",
    "ClassSubset",
    "Digits",
    "FeatureData",
    "FeatureSubset",
    "GroceryStore",
    "ImageData",
    "ImageFolder",
    "ImageSubset",
    "InShop",
    "LabelledData",
    "Omniglot",
    "StanfordOnlineProducts",
    "keep_batch",
]
