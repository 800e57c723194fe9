"""Images of every colour mode are decoded to arrays of one kind."""

import io
import zlib

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
        InputError,
        match=r"^birds/7.jpg cannot be read as an image \([^<]+\): replace it with an undama",
    ):
        decode_image(damage(content), "birds/7.jpg")


def huge_png(width, height):
    """A file of a few bytes that says to have so many pixels."""
    content = bytearray(encoded(Image.new("L", (1, 1))))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(("width", "height"), [(13_000, 13_000), (10_000, 9_000), (100_000, 600)])
def test_a_huge_image_is_called_that(width, height):
    message = (
        rf"^x has {width:,} x {height:,} pixels, {width * height / 1e6:.0f} megapixels, and the "
        rf"limit is 50: make it smaller, or raise the limit in .* PML_HYPERBOLIC_MAX_MEGAPIXELS$"
    )
    with pytest.raises(InputError, match=message):
        decode_image(huge_png(width, height), "x")


def test_the_limit_can_be_raised_above_that_of_pillow(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    monkeypatch.setenv("PML_HYPERBOLIC_MAX_MEGAPIXELS", "0.000024")
    pixels = noise(4, 6, 3)
    content = encoded(Image.fromarray(pixels))
    assert (decode_image(content, "x") == pixels.transpose(2, 0, 1)).all()
    monkeypatch.setenv("PML_HYPERBOLIC_MAX_MEGAPIXELS", "0.000023")
    with pytest.raises(InputError, match=r"x has 6 x 4 pixels"):
        decode_image(content, "x")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image"),
        (b"<html>not found</html>", "an HTML page"),
        (b"", "an empty file"),
    ],
)
def test_other_formats_are_named_and_never_opened(monkeypatch, content, kind):
    monkeypatch.setattr("subprocess.Popen", None)
    message = rf"^x.png cannot be read as an image \(it is {kind}\): convert it to .* BMP, GIF, "
    with pytest.raises(InputError, match=message):
        decode_image(content, "x.png")


@pytest.mark.parametrize("channels", [1, 3])
def test_numbers_that_are_no_pixels_are_refused(channels):
    ramp = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
    message = r"x holds floating-point numbers, not pixels: convert it to 8 or 16 bits"
    with pytest.raises(InputError, match=message):
        decode_image(encoded(Image.fromarray(ramp), "tiff"), "x", channels=channels)
    large = Image.fromarray(np.full((4, 6), 70_000, np.int32))
    with pytest.raises(InputError, match=r"x holds integers from 70000 to 70000, not pixels of 8"):
        decode_image(encoded(large, "tiff"), "x", channels=channels)
    fine = Image.fromarray(np.full((4, 6), 65_535, np.int32))
    assert (decode_image(encoded(fine, "tiff"), "x", channels=channels) == 255).all()
