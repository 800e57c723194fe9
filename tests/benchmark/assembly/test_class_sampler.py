"""Batches of training: whole classes, from random numbers of their own."""

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.assembly.class_sampler import ClassSampler


def test_sampler_keeps_to_its_own_numbers():
    def draw(before):
        sampler = ClassSampler(torch.arange(30) % 3, 2, batch_size=4, steps=5, seed=7)
        passes = []
        for _ in range(2):
            before()
            passes.append(list(sampler))
        return passes

    first = draw(lambda: None)
    assert first == draw(lambda: np.random.rand(3))  # noqa: NPY002
    assert first[0] != first[1]
    batch = torch.tensor(first[0]).reshape(5, 2, 2) % 3
    assert (batch[..., 0] == batch[..., 1]).all()


def test_a_state_continues_where_it_was_saved():
    def new(classes=3):
        return ClassSampler(torch.arange(30) % classes, 2, batch_size=4, steps=5, seed=7)

    first, second = new(), new()
    list(first)
    second.restore(first.state())
    assert list(first) == list(second)
    with pytest.raises(ValueError, match="has 5 classes, but the stored state belongs to 3"):
        new(classes=5).restore(first.state())
