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


def test_no_class_comes_twice_in_a_pass():
    # 11 classes in batches of 3: a pass leaves two of them out.
    labels = np.repeat(np.arange(11), 5)
    sampler = ClassSampler(labels, 2, batch_size=6, steps=3, seed=7, unique_classes=True)
    left_out = set()
    for _ in range(20):
        samples = np.array(list(sampler)).reshape(9, 2)
        assert len(samples) * 2 == len(sampler)
        classes = labels[samples]
        assert (classes[:, 0] == classes[:, 1]).all()
        assert len(set(classes[:, 0])) == 9
        assert (samples[:, 0] != samples[:, 1]).all()
        left_out |= set(range(11)) - set(classes[:, 0])
    assert len(left_out) == 11


def test_a_pass_has_no_more_classes_than_there_are():
    with pytest.raises(ValueError, match=r"4 batches would draw 12 different classes.* are 11"):
        ClassSampler(np.arange(22) % 11, 2, batch_size=6, steps=4, seed=7, unique_classes=True)


@pytest.mark.parametrize("replacement", [False, True])
def test_photos_are_drawn_with_replacement_or_without(replacement):
    labels = np.repeat(np.arange(4), 3)
    sampler = ClassSampler(labels, 2, batch_size=4, steps=500, seed=7, replacement=replacement)
    samples = np.array(list(sampler)).reshape(500, 2, 2)
    classes = labels[samples]
    # Two different classes a batch, drawn anew for each.
    assert (classes[..., 0] == classes[..., 1]).all()
    assert (classes[:, 0] != classes[:, 1]).all()
    assert np.bincount(classes[..., 0].ravel()).min() > 200
    twice = (samples[..., 0] == samples[..., 1]).mean()
    assert twice == (pytest.approx(1 / 3, abs=0.05) if replacement else 0)


def test_a_class_of_too_few_photos_repeats_them():
    sampler = ClassSampler(np.array([0, 1]), 3, batch_size=6, steps=1, seed=7, unique_classes=True)
    assert sorted(sampler) == [0, 0, 0, 1, 1, 1]


def test_a_state_of_unique_classes_continues_too():
    def new():
        return ClassSampler(
            np.arange(30) % 3, 2, batch_size=4, steps=1, seed=7, unique_classes=True
        )

    first, second = new(), new()
    list(first)
    second.restore(first.state())
    assert [list(first) for _ in range(3)] == [list(second) for _ in range(3)]
