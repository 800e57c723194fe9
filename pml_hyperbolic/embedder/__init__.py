"""A trained model to use: load, embed, search, save."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..utils.cosine_knn import CosineKNN
    from .embedder import Embedder
    from .image_index import ImageIndex

__all__ = ["CosineKNN", "Embedder", "ImageIndex"]

_MODULES = {
    "CosineKNN": "..utils.cosine_knn",
    "Embedder": ".embedder",
    "ImageIndex": ".image_index",
}


def __getattr__(name: str) -> Any:
    """Import a class when it is asked for: the command line's parser needs none of them."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
