"""Images: archives, decoding, the cache of decoded images, resizing and transforms.

Everything here takes plain values, so that a trained model can be used without the benchmark.
"""

from .augmentation import Augmentation, RandomCrop
from .decoded_images import DecodedImages
from .feature_cache import cached_features
from .image_cache import decode_images
from .image_transform import ImageTransform
from .input_size import InputSize

__all__ = [
    "Augmentation",
    "DecodedImages",
    "ImageTransform",
    "InputSize",
    "RandomCrop",
    "cached_features",
    "decode_images",
]
