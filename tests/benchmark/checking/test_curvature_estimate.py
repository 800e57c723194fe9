"""The curvature that features of the training images suggest."""

import re

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.checking.curvature_estimate import estimate_curvature
from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.datasets import Digits
from pml_hyperbolic.errors import InputError
from pml_hyperbolic.functional import suggested_curvature

COUNT = 15


@pytest.fixture
def load_pixels(load, tmp_path):
    """A function that loads the tiny benchmark on pixels, and pixels of the training classes."""
    digits = Digits()
    labels = digits.labels[:, 0]
    chosen = np.concatenate([np.flatnonzero(labels == label)[:COUNT] for label in range(8)])
    pixels = np.stack([digits.image(i).ravel() for i in chosen]).astype(np.float32)

    def load_them(factor=1):
        features = pixels.copy()
        features[labels[chosen] > 2] *= factor
        path = tmp_path / f"pixels{factor}.npz"
        np.savez(path, features=features, labels=labels[chosen])
        return load(
            f"protocol.data={{features: {{root: {path}}}}}",
            "protocol.backbone=identity",
            "protocol.augmentation={}",
        )

    return load_them, torch.from_numpy(pixels[: 3 * COUNT])


def test_it_is_that_of_the_training_classes_alone(load_pixels):
    load_them, train = load_pixels
    found = estimate_curvature(load_them())
    draws = torch.Generator().manual_seed(0)
    assert (found.c, found.spread) == suggested_curvature(train, generator=draws)
    assert (found.images, found.sample_size, found.dimension) == (3 * COUNT, 3 * COUNT, 64)
    # The other classes make no difference.
    assert estimate_curvature(load_them(factor=100)) == found


def test_an_untrained_trunk_is_that_of_the_first_seed(load):
    first, again, other = (
        estimate_curvature(load(f"protocol.seeds={seeds}", f"methods=[{method}]"))
        for seeds, method in (([3], "chest"), ([3, 4], "hyp"), ([4], "hyp"))
    )
    assert first == again
    assert first.c != other.c
    assert first.dimension == 4


def test_the_command_says_it(config_file, capsys):
    assert main(["curvature", str(config_file), "protocol.seeds=[3]"]) == 0
    line = capsys.readouterr().out
    found = re.fullmatch(
        r"c = (\S+), standard deviation (\S+) over 5 samples of 537 of 537 training images "
        r"\(4 features\)\n",
        line,
    )
    assert 0 < float(found[1]) < 1e4
    assert float(found[2]) >= 0


def test_equal_images_suggest_nothing(load_pixels):
    load_them, _ = load_pixels
    config = load_them()
    (arguments,) = config.protocol.data.values()
    content = dict(np.load(arguments["root"]))
    content["features"][:] = 1
    np.savez(arguments["root"], **content)
    with pytest.raises(InputError, match=r"tiny: .* suggests no finite curvature"):
        estimate_curvature(config)
