"""Data sets of the benchmarks, by their name in a protocol, and their class-disjoint subsets."""

from .cars196 import Cars196
from .cub200 import CUB200
from .digits import Digits
from .feature_data import FeatureData
from .grocery_store import GroceryStore
from .image_data import ImageData
from .image_folder import ImageFolder
from .in_shop import InShop
from .labelled_data import LabelledData
from .omniglot import Omniglot
from .random_tree import RandomTree
from .stanford_online_products import StanfordOnlineProducts
from .subsets import ClassSubset, FeatureSubset, ImageSubset, keep_batch

DATASETS: dict[str, type[ImageData] | type[FeatureData]] = {
    "cars196": Cars196,
    "cub200": CUB200,
    "digits": Digits,
    "features": FeatureData,
    "grocery": GroceryStore,
    "image_folder": ImageFolder,
    "inshop": InShop,
    "omniglot": Omniglot,
    "sop": StanfordOnlineProducts,
    "tree": RandomTree,
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
    "RandomTree",
    "StanfordOnlineProducts",
    "keep_batch",
]
