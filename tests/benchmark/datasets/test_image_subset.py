"""One split of a data set: labels, scaling, shifts."""

import numpy as np
import pytest
import torch

from pml_hyperbolic.benchmark.datasets import ImageData, ImageSubset
from pml_hyperbolic.benchmark.datasets.image_subset import keep_batch


class Ramps(ImageData):
    """Two-channel images of 4 x 5 distinct pixels, four classes in two groups."""

    level_names = ("class", "group")
    image_shape = (2, 4, 5)

    def __init__(self):
        classes = np.arange(12) % 4
        self.labels = np.stack([classes, classes // 2], 1).astype(np.int64)

    def image(self, index):
        return (np.arange(40).reshape(2, 4, 5) + index).astype(np.uint8)


def subset(classes=(3, 1), **kwargs):
    return ImageSubset(Ramps(), classes, mean=[0.5, 0.25], std=[0.5, 0.1], **kwargs)


def test_labels_count_from_zero_in_the_order_of_classes():
    data = subset()
    assert data.indices.tolist() == [1, 3, 5, 7, 9, 11]
    assert data.labels.tolist() == [[1, 0], [0, 1]] * 3
    assert Ramps().labels.max() == 3
    assert len(data) == 6


def test_images_are_scaled_by_channel():
    image, label = subset()[2]
    raw = torch.arange(40.0).reshape(2, 4, 5) + 5
    mean, std = (torch.tensor(v).reshape(2, 1, 1) for v in ([0.5, 0.25], [0.5, 0.1]))
    assert torch.allclose(image, (raw / 255 - mean) / std)
    assert image.dtype == torch.float32
    assert label.tolist() == [1, 0]


def test_a_data_loader_takes_whole_batches():
    loader = torch.utils.data.DataLoader(subset(), batch_size=4, collate_fn=keep_batch)
    (images, labels), (rest, _) = loader
    assert images.shape == (4, 2, 4, 5)
    assert labels.shape == (4, 2)
    assert len(rest) == 2


def test_shifts_move_the_image_and_repeat_its_border():
    plain, _ = subset().__getitems__([0] * 200)
    shifted, _ = subset(random_shift=1, generator=torch.Generator()).__getitems__([0] * 200)
    padded = torch.nn.functional.pad(plain[:1], (1,) * 4, mode="replicate")[0]
    possible = [padded[:, r : r + 4, c : c + 5] for r in range(3) for c in range(3)]
    found = [
        [i for i, candidate in enumerate(possible) if torch.equal(image, candidate)]
        for image in shifted
    ]
    assert all(len(places) == 1 for places in found)
    assert {places[0] for places in found} == set(range(9))


def test_shifts_draw_from_their_own_generator():
    def drawn():
        data = subset(random_shift=1, generator=torch.Generator().manual_seed(3))
        return data.__getitems__([0, 1, 2, 3])[0]

    first = drawn()
    before = torch.get_rng_state()
    torch.rand(5)
    assert torch.equal(first, drawn())
    torch.set_rng_state(before)
    drawn()
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_classes_are_refused():
    with pytest.raises(ValueError, match=r"Ramps has no classes \[4\]"):
        subset(classes=[1, 4])
