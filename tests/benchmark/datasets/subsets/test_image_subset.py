"""One split of a data set of images: labels, batches, draws of its own."""

import pytest
import torch

from pml_hyperbolic.benchmark.datasets import ImageSubset, keep_batch
from pml_hyperbolic.images import Augmentation, ImageTransform, InputSize, RandomCrop
from tests.image_fixtures import decode

SHIFT = Augmentation(random_shift=1)
EVERYTHING = Augmentation(
    random_crop=RandomCrop(scale=(0.2, 1.0)), random_shift=2, horizontal_flip=True
)


@pytest.fixture
def subset(ramps):
    """A function that makes a split of the ramps."""

    def make(classes=(3, 1), **kwargs):
        transform = ImageTransform([0.5, 0.25], [0.5, 0.1], **kwargs)
        return ImageSubset(ramps, classes, decode(ramps), transform)

    return make


def test_labels_count_from_zero_in_the_order_of_classes(subset, ramps):
    data = subset()
    assert data.indices.tolist() == [1, 3, 5, 7, 9, 11]
    assert data.labels.tolist() == [[1, 0], [0, 1]] * 3
    assert ramps.labels.max() == 3
    assert len(data) == 6


def test_images_are_scaled_by_channel(subset):
    image, label = subset()[2]
    raw = torch.arange(40.0).reshape(2, 4, 5) + 5
    mean, std = (torch.tensor(v).reshape(2, 1, 1) for v in ([0.5, 0.25], [0.5, 0.1]))
    assert torch.allclose(image, (raw / 255 - mean) / std)
    assert image.dtype == torch.float32
    assert label.tolist() == [1, 0]


def test_a_data_loader_takes_whole_batches(subset):
    loader = torch.utils.data.DataLoader(subset(), batch_size=4, collate_fn=keep_batch)
    (images, labels), (rest, _) = loader
    assert images.shape == (4, 2, 4, 5)
    assert labels.shape == (4, 2)
    assert len(rest) == 2


def test_draws_come_from_the_subsets_own_generator(subset):
    def drawn():
        data = subset(augmentation=SHIFT)
        data.generator.manual_seed(3)
        return data.__getitems__([0, 1, 2, 3])[0]

    first = drawn()
    before = torch.get_rng_state()
    torch.rand(5)
    assert torch.equal(first, drawn())
    torch.set_rng_state(before)
    drawn()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def augmented(photos):
    """A function that makes a split of the photos with every kind of augmentation."""

    def make():
        transform = ImageTransform(0.5, 0.5, input_size=InputSize(8, 12), augmentation=EVERYTHING)
        return ImageSubset(photos, [0, 2], decode(photos), transform)

    return make


def test_draws_continue_from_a_saved_state(augmented):
    data = augmented()
    data.generator.manual_seed(1)
    first = data.__getitems__([0, 1, 2])[0]
    state = data.generator.get_state()
    expected = [data.__getitems__([0, 1, 2])[0] for _ in range(2)]
    assert not torch.equal(first, expected[0])
    again = augmented()
    again.generator.set_state(state)
    for batch in expected:
        assert torch.equal(again.__getitems__([0, 1, 2])[0], batch)


def test_shares_are_rows_of_the_same_batch(augmented):
    items = [4, 1, 3, 0, 5]
    whole, shared = augmented(), [augmented(), augmented()]
    for _ in range(2):
        images, labels = whole.__getitems__(items)
        parts = [
            data.share(items, part)
            for data, part in zip(shared, [slice(0, 2), slice(2, 5)], strict=True)
        ]
        assert torch.equal(torch.cat([part[0] for part in parts]), images)
        assert torch.equal(torch.cat([part[1] for part in parts]), labels)


def test_unknown_classes_are_refused(subset):
    with pytest.raises(ValueError, match=r"Ramps has no classes \[4\]"):
        subset(classes=[1, 4])
