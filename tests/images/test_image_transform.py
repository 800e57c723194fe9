"""Transforms of whole batches, compared with slow transforms of single images."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from pml_hyperbolic.images import Augmentation, ImageTransform, InputSize, RandomCrop
from pml_hyperbolic.images.image_decoding import decode_image
from pml_hyperbolic.images.image_transform import crop_boxes
from tests.image_fixtures import decode

CROP = Augmentation(random_crop=RandomCrop(scale=(0.1, 0.6), ratio=(0.5, 2.0)))


def seeded_generator():
    return torch.Generator().manual_seed(5)


def raw(**kwargs):
    """A transform whose output times 255 is the uint8 image."""
    return ImageTransform(0.0, 1.0, **kwargs)


def transformed(transform, images):
    """Transform an (N, C, H, W) tensor or a list of images; return the result and the draws."""
    sizes = np.array([image.shape for image in images])
    draws = transform.draw(sizes, seeded_generator())
    return transform(images, draws) * 255, draws


def test_shifts_move_the_image_and_repeat_its_border(ramps):
    image = torch.from_numpy(ramps.image(0))
    shifted, _ = transformed(
        raw(augmentation=Augmentation(random_shift=1)), image.expand(200, -1, -1, -1)
    )
    padded = torch.nn.functional.pad(image[None].float(), (1,) * 4, mode="replicate")[0]
    possible = [padded[:, r : r + 4, c : c + 5] for r in range(3) for c in range(3)]
    found = [
        [i for i, candidate in enumerate(possible) if torch.allclose(one, candidate)]
        for one in shifted
    ]
    assert all(len(places) == 1 for places in found)
    assert {places[0] for places in found} == set(range(9))


def test_half_of_the_images_are_flipped(ramps):
    images = torch.from_numpy(ramps.image(0)).expand(400, -1, -1, -1)
    seen, draws = transformed(raw(augmentation=Augmentation(horizontal_flip=True)), images)
    assert 160 < draws.flips.sum() < 240
    for image, one, flipped in zip(images, seen, draws.flips, strict=True):
        expected = image.numpy()[..., ::-1] if flipped else image.numpy()
        assert np.abs(one.numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_resize_and_centre_crop_are_pillows(photos, interpolation):
    images = [torch.from_numpy(photos.image(i)) for i in range(12)]
    transform = raw(input_size=InputSize(8, 12, interpolation))
    seen, _ = transformed(transform, images)
    assert seen.shape == (12, 3, 8, 8)
    for image, one in zip(images, seen, strict=True):
        height, width = image.shape[1:]
        short = min(height, width)
        size = (int(width * 12 / short), int(height * 12 / short))
        pillow = Image.fromarray(image.permute(1, 2, 0).numpy()).resize(
            size, getattr(Image.Resampling, interpolation.upper())
        )
        left, top = round((size[0] - 8) / 2), round((size[1] - 8) / 2)
        expected = np.asarray(pillow.crop((left, top, left + 8, top + 8))).transpose(2, 0, 1)
        # Both round to integer levels after each of two passes.
        assert np.abs(one.numpy() - expected).max() < 2.001


def test_random_crops_are_pillows(photos):
    images = [torch.from_numpy(photos.image(i)) for i in range(12)]
    transform = raw(input_size=InputSize(8), augmentation=CROP)
    seen, draws = transformed(transform, images)
    for image, (top, left, height, width), one in zip(images, draws.boxes, seen, strict=True):
        crop = image[:, top : top + height, left : left + width]
        pillow = Image.fromarray(crop.permute(1, 2, 0).contiguous().numpy())
        expected = np.asarray(pillow.resize((8, 8), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        assert np.abs(one.numpy() - expected).max() < 2.001


def test_without_a_size_crops_keep_the_images_own(ramps):
    images = torch.stack([torch.from_numpy(ramps.image(i)) for i in range(5)])
    seen, draws = transformed(raw(augmentation=CROP), images)
    assert seen.shape == images.shape
    assert (draws.boxes[:, 2:].prod(1) < 20).all()


def crop_box_one_by_one(uniform, height, width, scale, ratio):
    """RandomResizedCrop.make_params of torchvision, with given random numbers."""
    for area, aspect, top, left in uniform.tolist():
        target = height * width * (scale[0] + (scale[1] - scale[0]) * area)
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + (high - low) * aspect)
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return [int(top * (height - h + 1)), int(left * (width - w + 1)), h, w]
    if width / height < ratio[0]:
        w, h = width, round(width / ratio[0])
    elif width / height > ratio[1]:
        w, h = round(height * ratio[1]), height
    else:
        w, h = width, height
    return [(height - h) // 2, (width - w) // 2, h, w]


@pytest.mark.parametrize("tries", [1, 10])
def test_crop_boxes(tries):
    rng = np.random.default_rng(0)
    sizes = torch.from_numpy(
        np.concatenate([np.full((500, 1), 3), rng.integers(3, 60, (500, 2))], 1)
    )
    uniform = torch.rand(500, tries, 4, dtype=torch.float64)
    boxes = crop_boxes(uniform, sizes, [0.3, 1.0], [0.75, 4 / 3])
    assert boxes.tolist() == [
        crop_box_one_by_one(u, h, w, [0.3, 1.0], [0.75, 4 / 3])
        for u, (_, h, w) in zip(uniform, sizes.tolist(), strict=True)
    ]


def test_crop_boxes_are_distributed_as_torchvisions():
    theirs = v2.RandomResizedCrop(8, scale=(0.2, 1.0), ratio=(0.75, 4 / 3))
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    draws = [theirs.make_params([image]) for _ in range(4000)]
    expected = torch.tensor(
        [[d[k] for k in ("top", "left", "height", "width")] for d in draws]
    ).double()
    boxes = crop_boxes(
        torch.rand(4000, 10, 4, dtype=torch.float64),
        torch.tensor([[3, 40, 60]]).expand(4000, -1),
        [0.2, 1.0],
        [0.75, 4 / 3],
    ).double()
    error = (boxes.var(0) / 4000 + expected.var(0) / 4000).sqrt()
    assert ((boxes.mean(0) - expected.mean(0)).abs() < 4 * error).all()
    assert (boxes.std(0) / expected.std(0) - 1).abs().max() < 0.1


def test_draws_do_not_depend_on_the_sizes():
    transform = raw(
        input_size=InputSize(8),
        augmentation=Augmentation(random_crop=RandomCrop(), random_shift=3, horizontal_flip=True),
    )
    after = []
    for sizes in ([[3, 20, 20]] * 4, [[3, 8, 90], [3, 100, 9], [3, 33, 44], [3, 5, 5]]):
        generator = seeded_generator()
        draws = transform.draw(np.array(sizes), generator)
        after.append((generator.get_state(), draws.shifts, draws.flips))
    assert all(torch.equal(a, b) for a, b in zip(*after, strict=True))


def test_evaluation_is_not_augmented(photos):
    images = decode(photos)
    transform = raw(input_size=InputSize(8))
    draws = transform.draw(images.sizes[:4], generator := seeded_generator())
    assert draws == (None, None, None)
    assert torch.equal(generator.get_state(), seeded_generator().get_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("augmentation", [Augmentation(), CROP])
def test_cuda_sees_the_same_images(photos, augmentation):
    images = decode(photos)
    indices = np.array([3, 1, 8, 20])
    seen = []
    for device in ("cpu", "cuda"):
        transform = raw(input_size=InputSize(8), augmentation=augmentation, device=device)
        draws = transform.draw(images.sizes[indices], seeded_generator())
        seen.append(transform(images.batch(indices, device), draws).cpu() * 255)
    # The CPU rounds to integer levels after each of two passes, CUDA after both passes.
    assert (seen[0] - seen[1]).abs().max() < 2.001


def test_a_file_becomes_a_networks_input(tmp_path, write_image):
    """From a file to a normalised batch without the benchmark."""
    pixels = write_image(tmp_path / "photo.png", size=(20, 30))
    image = decode_image((tmp_path / "photo.png").read_bytes(), "photo.png")
    assert np.array_equal(image, pixels)
    transform = ImageTransform([0.5, 0.4, 0.3], 0.25, input_size=InputSize(8, 10))
    batch = transform([torch.from_numpy(image)])
    resized = v2.functional.resize(torch.from_numpy(pixels), [10], antialias=True)
    expected = v2.functional.center_crop(resized, [8, 8]) / 255
    mean = torch.tensor([0.5, 0.4, 0.3])[:, None, None]
    assert torch.allclose(batch, ((expected - mean) / 0.25)[None])


def test_a_list_of_images_keeps_its_size(ramps):
    images = [torch.from_numpy(ramps.image(i)) for i in range(3)]
    assert torch.equal(raw()(images), raw()(torch.stack(images)))
