"""Images of every colour mode are decoded to arrays of one kind."""

import io

import numpy as np
import pytest
from PIL import Image

from pml_hyperbolic.errors import InputError
from pml_hyperbolic.images.image_decoding import decode_image

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image, form="png", **arguments):
    file = io.BytesIO()
    image.save(file, form, **arguments)
    return file.getvalue()


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_colours_come_as_they_are():
    pixels = noise(4, 6, 3)
    image = decode_image(encoded(Image.fromarray(pixels)), "x")
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert (image == pixels.transpose(2, 0, 1)).all()


def test_grey_images():
    pixels = noise(4, 6)
    content = encoded(Image.fromarray(pixels))
    assert (decode_image(content, "x") == np.stack([pixels] * 3)).all()
    assert (decode_image(content, "x", channels=1) == pixels[None]).all()
    fine = Image.fromarray(pixels.astype(np.uint16) * 257)
    assert (decode_image(encoded(fine), "x", channels=1) == pixels[None]).all()
    scan = Image.fromarray(pixels >= 128)
    assert (decode_image(encoded(scan), "x", channels=1) == (pixels >= 128) * 255).all()


@pytest.mark.parametrize("mode", ["P", "CMYK"])
def test_palettes_and_inks(mode):
    image = Image.new("RGB", (6, 4), RED).convert(mode)
    content = encoded(image, "png" if mode == "P" else "tiff")
    assert (decode_image(content, "x") == np.array(RED)[:, None, None]).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(mode):
    image = Image.new("LA", (6, 4), (0, 0)) if mode == "LA" else Image.new(mode, (6, 4), 0)
    content = encoded(image, **({"transparency": 0} if mode == "P" else {}))
    assert (decode_image(content, "x") == 255).all()


def test_the_orientation_of_the_camera_is_applied():
    pixels = noise(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(pixels), exif=exif)
    # Orientation 6: viewers rotate the image by 90 degrees clockwise.
    assert (decode_image(content, "x") == np.rot90(pixels, -1).transpose(2, 0, 1)).all()


def test_resizing():
    pixels = np.kron(np.array([[0, 255], [255, 0]], dtype=np.uint8), np.ones((8, 8), np.uint8))
    image = decode_image(encoded(Image.fromarray(pixels)), "x", channels=1, size=2)
    assert image.shape == (1, 2, 2)
    assert image[0, 0, 0] < 64
    assert image[0, 0, 1] > 191


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"GIF8" + c, bytes.upper])
def test_damaged_images_are_named(damage):
    content = encoded(Image.fromarray(noise(40, 60, 3)), "jpeg")
    with pytest.raises(
        InputError, match=r"^birds/7.jpg cannot be read as an image \([^<]+\): replace"
    ):
        decode_image(damage(content), "birds/7.jpg")
