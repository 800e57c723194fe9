"""Cars-196 in both of its official layouts."""

import numpy as np
import pytest
from scipy.io import savemat

from pml_hyperbolic.benchmark.datasets import DATASETS, Cars196
from pml_hyperbolic.errors import InputError

# Published labels count from 1.
LABELS = {"cars_train": [1, 98, 99], "cars_test": [1, 196]}
NAMES = [f"Model {i} Sedan 20{i:03d}" for i in range(1, 197)]


def annotations(paths, labels, field):
    kinds = [(field, "O"), *((f"bbox_{side}", "O") for side in ("x1", "y1", "x2", "y2"))]
    rows = [(path, 1, 2, 3, 4, label) for path, label in zip(paths, labels, strict=True)]
    return np.array(rows, dtype=[*kinds, ("class", "O")])


@pytest.fixture
def write_tree(tmp_path, write_image):
    """A function that writes a tiny release and returns its folder and its photos in order."""

    def write(parts):
        (tmp_path / "devkit").mkdir(exist_ok=True)
        names = np.array(NAMES, dtype=object)
        photos, every_path = [], []
        for folder, labels in LABELS.items():
            files = [f"{i + 1:05d}.png" for i in range(len(labels))]
            if parts == 1:
                start = len(photos)
                files = [f"{start + i + 1:06d}.png" for i in range(len(labels))]
                every_path += [f"car_ims/{file}" for file in files]
            for file in files:
                path = tmp_path / ("car_ims" if parts == 1 else folder) / file
                photos.append(write_image(path, (5 + len(photos), 4)))
            if parts == 2:
                where = {
                    "cars_train": "devkit/cars_train_annos.mat",
                    "cars_test": "cars_test_annos_withlabels.mat",
                }[folder]
                content = annotations(files, labels, "fname")
                savemat(tmp_path / where, {"annotations": content})
        if parts == 1:
            content = annotations(
                every_path, [*LABELS["cars_train"], *LABELS["cars_test"]], "relative_im_path"
            )
            savemat(tmp_path / "cars_annos.mat", {"annotations": content, "class_names": names})
        else:
            savemat(tmp_path / "devkit/cars_meta.mat", {"class_names": names})
        return tmp_path, photos

    return write


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("packed", [False, True])
def test_photos_labels_and_test_classes(write_tree, pack, parts, packed):
    root, photos = write_tree(parts)
    if packed:
        for folder in ["car_ims"] if parts == 1 else LABELS:
            pack(root / folder, "gztar")
    for _ in range(2):
        data = Cars196(str(root), verify=False)
        assert len(data) == len(photos)
        assert all((data.image(i) == photo).all() for i, photo in enumerate(photos))
        assert data.labels[:, 0].tolist() == [0, 1, 2, 0, 3]
        assert data.class_names == [NAMES[i - 1] for i in (1, 98, 99, 196)]
        assert data.test_classes.tolist() == [2, 3]


def test_body_types(write_tree, monkeypatch):
    data = Cars196(str(write_tree(1)[0]), verify=False)
    assert data.level_names == ("model", "body type")
    assert data.superclass_names == (["sedan"],)
    assert data.labels[:, 1].tolist() == [0] * 5
    monkeypatch.setitem(globals(), "NAMES", [*NAMES[:-1], "Unknown Machine 2012"])
    data = Cars196(str(write_tree(1)[0]), verify=False)
    assert data.level_names == ("model",)
    assert data.superclass_names == ()


def test_the_whole_release_is_needed(write_tree):
    assert DATASETS["cars196"] is Cars196
    root, _ = write_tree(1)
    with pytest.raises(InputError, match="16,185 images and 196 models, found 5 images and 4 mod"):
        Cars196(str(root))
    (root / "car_ims/000002.png").unlink()
    with pytest.raises(InputError, match=r"1 listed images are missing, .* car_ims/000002.png"):
        Cars196(str(root))


def test_what_is_missing_is_named(write_tree):
    root, _ = write_tree(2)
    (root / "cars_test_annos_withlabels.mat").write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"annos_withlabels.mat is not a MATLAB file"):
        Cars196(str(root), verify=False)
    (root / "cars_test_annos_withlabels.mat").unlink()
    with pytest.raises(InputError, match=r"withlabels.mat does not exist; expected a folder with"):
        Cars196(str(root), verify=False)
    with pytest.raises(InputError, match=r"no such folder or archive; expected .*Stanford Cars"):
        Cars196(str(root / "nowhere"))


def test_a_whole_release_is_accepted(write_tree, monkeypatch):
    counts = dict(zip(Cars196.official_counts, (5, 4), strict=True))
    monkeypatch.setattr(Cars196, "official_counts", counts)
    assert len(Cars196(str(write_tree(2)[0]))) == counts["images"]
