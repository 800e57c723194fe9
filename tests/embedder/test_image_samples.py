"""Images are listed by name and class before any is read."""

import numpy as np
import pytest
import torch
from PIL import Image

from pml_hyperbolic.embedder.image_samples import image_samples
from pml_hyperbolic.errors import InputError


def test_a_folder_is_listed_by_path_with_its_classes(write_image, tmp_path):
    root = tmp_path / "birds"
    for name in ("b/2.png", "b/1.jpg", "a/deep/3.PNG", "0.png", ".hidden/4.png"):
        write_image(root / name)
    (root / "b" / "notes.txt").write_text("no image")
    samples = image_samples(root)
    assert [sample.name for sample in samples] == [
        str(root / name) for name in ("0.png", "a/deep/3.PNG", "b/1.jpg", "b/2.png")
    ]
    assert [sample.label for sample in samples] == [None, "a/deep", "b", "b"]
    assert samples[1].place == (str(root), "a/deep/3.PNG")


def test_a_zip_is_listed_as_its_folder(write_image, pack, tmp_path):
    write_image(tmp_path / "birds" / "a" / "1.png")
    path = pack(tmp_path / "birds")
    (sample,) = image_samples(path)
    assert (sample.name, sample.label) == (str(path / "birds/a/1.png"), "a")


def test_folders_that_hold_every_class_are_no_part_of_its_name(write_image, tmp_path):
    for name in ("all/big/a/1.png", "all/big/b/1.png", "all/small/1.png"):
        write_image(tmp_path / "birds" / name)
    labels = [sample.label for sample in image_samples(tmp_path / "birds")]
    assert labels == ["big/a", "big/b", "small"]


def test_files_and_memory_in_one_list(write_image, tmp_path):
    write_image(tmp_path / "1.png")
    samples = image_samples(
        [
            tmp_path / "1.png",
            Image.new("L", (3, 3)),
            np.zeros((2, 4, 4, 3), np.uint8),
            (torch.zeros(3, 4, 4),),
        ]
    )
    assert [sample.name for sample in samples] == [
        str(tmp_path / "1.png"),
        "image 1",
        "image 2 0",
        "image 2 1",
        "image 3 0",
    ]
    assert samples[0].place == (str(tmp_path), "1.png")
    assert {sample.label for sample in samples} == {None}


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((), "there are no images"),
        (3, "image is a int"),
        ([b"png"], "image 0 is a bytes"),
        ("absent", "absent is missing"),
        ("absent.zip", "absent.zip"),
    ],
)
def test_what_is_refused(images, message):
    with pytest.raises(InputError, match=message):
        image_samples(images)


def test_a_folder_without_images(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        image_samples(tmp_path)


def test_what_is_passed_over_is_said(tmp_path):
    (tmp_path / "photos" / "empty").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "notes.txt").write_text("")
    said = []
    assert (
        len(image_samples([tmp_path / "photos", tmp_path / "photos" / "a.png"], said.append)) == 2
    )
    assert said == [
        f"{tmp_path}/photos: passed over 1 file: 1 .txt (such as notes.txt)",
        f"{tmp_path}/photos: 1 folder holds no images and is no class: empty",
    ]
