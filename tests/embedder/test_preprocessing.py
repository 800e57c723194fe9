"""Preprocessing turns images of any form into what the backbone takes."""

import numpy as np
import pytest
import torch
from PIL import Image

from pml_hyperbolic.embedder.preprocessing import Preprocessing
from pml_hyperbolic.errors import InputError


def photo(height=50, width=70, channels=3):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def test_resized_cropped_and_normalised_as_torchvision_does():
    from torchvision.transforms import v2

    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    preprocessing = Preprocessing(3, mean, std, short_side=32, size=24, interpolation="bicubic")
    pixels = photo()
    expected = v2.Compose(
        [
            v2.Resize(32, v2.InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop(24),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )(torch.from_numpy(pixels.transpose(2, 0, 1).copy()))
    batch = preprocessing.batch([preprocessing.from_array(pixels, "photo")], torch.device("cpu"))
    assert torch.allclose(batch[0], expected, atol=1e-5)


def test_images_of_several_sizes_make_one_batch():
    preprocessing = Preprocessing(3, 0.5, 0.5, short_side=32, size=24)
    shapes = ((50, 70), (20, 90), (33, 33))
    images = [preprocessing.from_array(photo(*shape), "photo") for shape in shapes]
    batch = preprocessing.batch(images, torch.device("cpu"))
    assert batch.shape == (3, 3, 24, 24)
    for image, row in zip(images, batch, strict=True):
        assert torch.equal(preprocessing.batch([image], torch.device("cpu"))[0], row)


def test_colours_become_grey_as_files_do():
    preprocessing = Preprocessing(1, 0.5, 0.5)
    colours = photo()
    grey = np.asarray(Image.fromarray(colours).convert("L"))
    assert np.array_equal(preprocessing.from_array(colours, "photo")[0], grey)
    assert np.array_equal(Preprocessing(3, 0, 1).from_array(grey, "photo"), np.stack([grey] * 3))


def test_transparent_pixels_become_white():
    pixels = np.zeros((4, 4, 4), np.uint8)
    assert (Preprocessing(3, 0, 1).from_array(pixels, "photo") == 255).all()


def test_the_stored_size_is_that_of_reading_files(tmp_path):
    preprocessing = Preprocessing(1, 0, 1, stored_size=10)
    image = Image.fromarray(photo(channels=1))
    expected = np.asarray(image.resize((10, 10), Image.Resampling.BILINEAR))
    file = tmp_path / "photo.png"
    image.save(file)
    for pixels in (
        preprocessing.read(file.read_bytes(), "photo"),
        preprocessing.from_pil(image, "photo"),
        preprocessing.from_array(photo(channels=1), "photo"),
    ):
        assert np.array_equal(pixels[0], expected)


def test_floats_are_rounded_to_stored_levels():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    preprocessing = Preprocessing(1, 0, 1)
    for kind in (torch.float32, torch.float64):
        pixels = preprocessing.from_tensor(levels.to(kind) / 255, "photo")
        assert np.array_equal(pixels, levels.numpy())


def test_images_of_two_channels_are_tensors_only():
    preprocessing = Preprocessing(2, 0, 1)
    tensor = torch.randint(0, 256, (2, 5, 5), dtype=torch.uint8)
    assert np.array_equal(preprocessing.from_tensor(tensor, "it"), tensor.numpy())
    with pytest.raises(InputError, match=r"takes images of 2 channels.*give tensors \(2, H, W\)"):
        preprocessing.from_pil(Image.new("RGB", (5, 5)), "it")


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(5, 5), r"expected \(C, H, W\)"),
        (torch.zeros(3, 5, 5, dtype=torch.int64), "expected uint8, or floats"),
        (torch.full((3, 5, 5), torch.nan), r"outside \[0, 1\]"),
        (torch.zeros(3, 0, 5), "is an array of uint8 of shape"),
    ],
)
def test_refused_tensors(tensor, message):
    with pytest.raises(InputError, match=message):
        Preprocessing(3, 0, 1).from_tensor(tensor, "it")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels must be an integer >= 1"),
        ({"size": 8}, "both size and short_side"),
        ({"size": 8, "short_side": 7}, "both size and short_side"),
        ({"size": 8, "short_side": 8, "interpolation": "nearest"}, "bilinear or bicubic"),
        ({"mean": [0.1, 0.2]}, "mean must be a finite number or one for each of 3"),
        ({"mean": "0"}, "mean must be"),
        ({"std": 0}, "none of them 0"),
        ({"std": float("nan")}, "std must be"),
        ({"stored_size": 2.5}, "stored_size must be an integer"),
    ],
)
def test_refused_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        Preprocessing(**{"channels": 3, "mean": 0, "std": 1, **arguments})
