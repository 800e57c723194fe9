"""GroceryStore's layout, labels and checks."""

import numpy as np
import pytest

from pml_hyperbolic.benchmark.datasets import DATASETS, GroceryStore
from pml_hyperbolic.errors import InputError

CLASSES = [("Gala", 0, "Apple", 0), ("Pink-Lady", 1, "Apple", 0), ("Leek", 2, "Leek", 1)]
LISTS = {"train": [0, 0, 2], "val": [1], "test": [1, 2]}


@pytest.fixture
def tree(tmp_path, write_image):
    """The folder of a tiny release, and its photos in the order of the lists."""
    folder = tmp_path / "GroceryStoreDataset"
    photos = []
    for part, classes in LISTS.items():
        lines = []
        for number, label in enumerate(classes):
            fine, fine_id, coarse, coarse_id = CLASSES[label]
            name = f"{part}/Some/{coarse}/{fine}/{fine}_{number:03d}.png"
            photos.append(write_image(folder / "dataset" / name, (8, 6 + len(photos) % 2)))
            lines.append(f"{name}, {fine_id}, {coarse_id}\n")
        (folder / "dataset" / f"{part}.txt").write_text("".join(lines))
    rows = ["Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),A,B"]
    rows += [",".join(map(str, row)) + ",/a.jpg,/a.txt" for row in CLASSES]
    (folder / "dataset" / "classes.csv").write_bytes("\r\n".join(rows).encode())
    return folder, photos


@pytest.mark.parametrize("root", ["itself", "parent", "zip", "folder of the zip"])
def test_photos_and_labels(tree, pack, root):
    folder, photos = tree
    path = folder if root == "itself" else folder.parent
    if "zip" in root:
        archive = pack(folder)
        path = archive if root == "zip" else folder.parent
    data = GroceryStore(path, verify=False)
    assert len(data) == 6
    assert all((data.image(i) == photo).all() for i, photo in enumerate(photos))
    assert data.labels.tolist() == [[0, 0], [0, 0], [2, 1], [1, 0], [1, 0], [2, 1]]
    assert data.class_names == ["Gala", "Pink-Lady", "Leek"]
    assert data.superclass_names == (["Apple", "Leek"],)
    assert data.test_classes is None
    assert {data.image(i).shape for i in (0, 1)} == {(3, 8, 6), (3, 8, 7)}


def test_missing_photos_are_named_or_left_out(tree):
    folder, _ = tree
    (folder / "dataset/val/Some/Apple/Pink-Lady/Pink-Lady_000.png").unlink()
    with pytest.raises(InputError, match=r"1 listed images are missing, the first is .*Lady_000"):
        GroceryStore(folder)
    assert GroceryStore(folder, verify=False).labels[:, 0].tolist() == [0, 0, 2, 1, 2]


def test_a_part_is_refused(tree):
    with pytest.raises(
        InputError, match=r"found 6 images and 3 classes and 2 coarse classes: downl"
    ):
        GroceryStore(tree[0])


def test_missing_lists_are_named(tree, tmp_path):
    (tree[0] / "dataset" / "val.txt").unlink()
    with pytest.raises(InputError, match=r"dataset/val.txt does not exist; expected .*klasson"):
        GroceryStore(tree[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: classes.csv does not exist; expected"):
        GroceryStore(tmp_path / "empty")
    with pytest.raises(InputError, match="there is no such folder or archive; expected"):
        GroceryStore(tmp_path / "nowhere")


def test_the_official_release(grocery_zip):
    assert DATASETS["grocery"] is GroceryStore
    data = GroceryStore(grocery_zip)
    assert data.labels.shape == (5421, 2)
    assert len(np.unique(data.labels[:, 0])) == len(data.class_names) == 81
    # Every fine class belongs to one coarse class.
    assert len(np.unique(data.labels, axis=0)) == 81
    assert data.labels[:, 1].max() == 42
    assert data.class_names[80] == "Zucchini"
    assert {min(data.image(i).shape[1:]) for i in (0, 2640, 5420)} == {96}
