"""All global generators start from the seed."""

import random

import numpy as np
import torch

from pml_hyperbolic.benchmark.assembly.seeding import seed_everything


def drawn(seed):
    seed_everything(seed)
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_every_generator_is_seeded():
    first, again, other = drawn(3), drawn(3), drawn(4)
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))
