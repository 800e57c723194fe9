"""Omniglot's layout, labels and checks."""

import pickle

import numpy as np
import pytest

from pml_hyperbolic.benchmark.datasets import DATASETS, Omniglot
from pml_hyperbolic.errors import InputError

TREE = {
    "images_background": {"Greek": 2, "Latin": 1},
    "images_evaluation": {"Angelic": 1, "Tengwar": 2},
}
DRAWINGS = 2


@pytest.fixture
def tree(tmp_path, write_image):
    """The root of a tiny release, and its drawings in the official order."""
    drawings = []
    for part, alphabets in TREE.items():
        for alphabet, characters in alphabets.items():
            for character in range(1, characters + 1):
                for drawing in range(1, DRAWINGS + 1):
                    name = f"character{character:02d}/0{character}_{drawing:02d}.png"
                    path = tmp_path / part / alphabet / name
                    drawings.append(write_image(path, (105, 105), "1"))
    return tmp_path, np.stack(drawings)


def pack_all(root, pack):
    for part in TREE:
        pack(root / part)


@pytest.mark.parametrize("packed", [False, True])
def test_drawings_labels_and_test_classes(tree, pack, packed):
    root, drawings = tree
    if packed:
        pack_all(root, pack)
    data = Omniglot(root, verify=False)
    assert all((data.image(i) == drawing).all() for i, drawing in enumerate(drawings))
    assert data.labels[:, 0].tolist() == np.repeat(np.arange(6), DRAWINGS).tolist()
    assert data.labels[:, 1].tolist() == np.repeat([0, 0, 1, 2, 3, 3], DRAWINGS).tolist()
    assert data.level_names == ("character", "alphabet")
    assert data.superclass_names[0][:2] == ["Greek", "Latin"]
    assert data.class_names[:3] == ["Greek/character01", "Greek/character02", "Latin/character01"]
    assert data.test_classes.tolist() == [3, 4, 5]


def test_the_zip_is_read_by_another_process_too(tree, pack):
    root, drawings = tree
    pack_all(root, pack)
    data = Omniglot(root, verify=False)
    data.image(0)
    assert (pickle.loads(pickle.dumps(data)).image(7) == drawings[7]).all()


def test_resizing_averages(tree):
    root, drawings = tree
    image = Omniglot(root, size=21, verify=False).image(4)
    assert image.shape == (1, 21, 21)
    assert abs(image.mean() - drawings[4].mean()) < 5
    # Without antialiasing, all pixels would be black or white.
    assert np.isin(image, [0, 255]).mean() < 0.1
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        Omniglot(root, size=0, verify=False)


def test_a_part_is_refused_unless_asked_for(tree):
    root, _ = tree
    with pytest.raises(InputError) as error:
        Omniglot(root)
    message = str(error.value)
    assert "Omniglot has 964 background characters and 659 evaluation characters" in message
    assert "found 3 background characters and 3 evaluation characters and 12 images" in message
    assert "brendenlake/omniglot" in message
    assert "verify: false" in message


def test_what_is_missing_is_named(tree, pack):
    root, _ = tree
    pack(root / "images_evaluation", name="elsewhere")
    with pytest.raises(InputError, match=r"neither images_evaluation nor .*brendenlake/omniglot"):
        Omniglot(root, verify=False)
    with pytest.raises(InputError, match=r"nowhere: there is no such folder .*background.zip and"):
        Omniglot(root / "nowhere")


def test_the_official_release(omniglot_root):
    assert DATASETS["omniglot"] is Omniglot
    data = Omniglot(omniglot_root, size=28)
    assert data.labels.shape == (32460, 2)
    assert (np.bincount(data.labels[:, 0], minlength=1623) == 20).all()
    assert len(np.unique(data.labels[:, 1])) == 50
    assert len(data.test_classes) == 659
    assert (data.labels[np.isin(data.labels[:, 0], data.test_classes), 1] >= 30).all()
    assert data.class_names[0] == "Alphabet_of_the_Magi/character01"
    assert data.class_names[964] == "Angelic/character01"
    first = data.image(0)
    assert first.shape == (1, 28, 28)
    # Strokes are dark on a white background.
    assert 200 < first.mean() < 255
