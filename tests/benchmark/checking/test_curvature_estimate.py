"""The curvature that features of the training images suggest."""

import re

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.checking.curvature_estimate import (
    curvature_overrides,
    estimate_curvature,
)
from pml_hyperbolic.benchmark.cli import main
from pml_hyperbolic.benchmark.config import load_benchmark
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
    line, hint, *overrides = capsys.readouterr().out.splitlines()
    found = re.fullmatch(
        r"c = (\S+), standard deviation (\S+) over 5 samples of 537 of 537 training images "
        r"\(4 features\)",
        line,
    )
    expected = estimate_curvature(load_benchmark(config_file, ["protocol.seeds=[3]"]))
    assert float(found[1]) == pytest.approx(expected.c, rel=0.01)
    assert float(found[2]) == pytest.approx(expected.spread, rel=0.05)
    assert hint == "to train with it, add to `pml-hyperbolic run` those of:"
    # Each is an override that the config takes, for every distance that a method names.
    assert [override.split("=")[0].strip() for override in overrides] == [
        "methods.hier.regularizer.use.HIERLoss.distance.PoincareDistance.c",
        "methods.chest.loss.CHESTLoss.distance.PoincareSimilarity.c",
    ]
    config = load_benchmark(config_file, [override.strip() for override in overrides])
    (distance,) = config.methods["chest"].loss["CHESTLoss"]["distance"].values()
    assert distance == {"c": float(found[1]), "clip_radius": 2.3}


def test_the_command_says_where_nothing_takes_it(config_file, capsys):
    assert main(["curvature", str(config_file), "methods=[proxy_anchor]"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "no method states the c of a hyperbolic distance, which would take it"


def test_a_distance_by_name_alone_takes_it_too(load):
    key = "methods.hyp.loss.NTXentLoss.distance"
    bare = load("methods=[hyp]", f"{key}=PoincareDistance")
    overrides = curvature_overrides(bare, 0.123456)
    assert overrides == [f"{key}.PoincareDistance.c=0.1235"]
    loss = load("methods=[hyp]", *overrides).methods["hyp"].loss
    assert loss["NTXentLoss"]["distance"]["PoincareDistance"]["c"] == 0.1235


def test_equal_images_suggest_nothing(load_pixels):
    load_them, _ = load_pixels
    config = load_them()
    (arguments,) = config.protocol.data.values()
    content = dict(np.load(arguments["root"]))
    content["features"][:] = 1
    np.savez(arguments["root"], **content)
    with pytest.raises(InputError, match=r"tiny: .* suggests no finite curvature"):
        estimate_curvature(config)
