"""Images: archives, decoding, the decoded cache, resizing and transforms."""

from .decoded_images import DecodedImages, decode_images
from .image_transform import ImageTransform

__all__ = ["DecodedImages", "ImageTransform", "decode_images"]
