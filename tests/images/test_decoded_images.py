"""Batches of decoded images."""

import numpy as np
import torch

from pml_hyperbolic.images import DecodedImages
from tests.image_fixtures import decode


def test_images_are_parts_of_one_array():
    pixels = np.arange(2 * 1 * 3 + 2 * 4 * 5, dtype=np.uint8)
    images = DecodedImages(pixels, np.array([[2, 1, 3], [2, 4, 5]]))
    assert len(images) == 2
    assert images.channels == 2
    assert images.image(0).tolist() == [[[0, 1, 2]], [[3, 4, 5]]]
    assert np.array_equal(images.image(1), pixels[6:].reshape(2, 4, 5))


def test_batches(photos, ramps):
    batch = decode(photos).batch(np.array([7, 2, 2]))
    assert isinstance(batch, list)
    for index, image in zip([7, 2, 2], batch, strict=True):
        assert torch.equal(image, torch.from_numpy(photos.image(index)))
    batch = decode(ramps).batch(np.array([7, 2]))
    assert torch.equal(batch[1], torch.from_numpy(ramps.image(2)))
    assert batch.shape == (2, 2, 4, 5)
