"""CUB-200-2011's layout, labels and checks."""

import pytest

from pml_hyperbolic.benchmark.datasets import CUB200, DATASETS
from pml_hyperbolic.errors import InputError

SPECIES = {1: "001.Albatross", 2: "002.Auk", 100: "100.Pelican", 101: "101.Ibis", 200: "200.Wren"}
LABELS = [1, 1, 2, 100, 101, 101, 200]


@pytest.fixture
def tree(tmp_path, write_image):
    """The folder of a tiny release, and its photos in the order of images.txt."""
    folder = tmp_path / "CUB_200_2011"
    names = [f"{SPECIES[label]}/Bird_{i:04d}.png" for i, label in enumerate(LABELS)]
    photos = [write_image(folder / "images" / n, (5 + i, 7)) for i, n in enumerate(names)]
    write_list(folder / "images.txt", enumerate(names, start=1))
    write_list(folder / "image_class_labels.txt", enumerate(LABELS, start=1))
    write_list(folder / "classes.txt", SPECIES.items())
    return folder, photos


def write_list(path, rows):
    path.write_text("".join(f"{key} {value}\n" for key, value in rows))


@pytest.mark.parametrize("form", ["folder", "parent", "tgz", "parent of tgz", "zip"])
def test_photos_labels_and_test_classes(tree, pack, form):
    root, photos = tree
    if form == "parent":
        root = root.parent
    elif form != "folder":
        root = pack(root, "zip" if form == "zip" else "gztar")
        root = root.parent if form.startswith("parent") else root
    for _ in range(2):
        data = CUB200(str(root), verify=False)
        assert len(data) == len(LABELS)
        assert all((data.image(i) == photo).all() for i, photo in enumerate(photos))
        assert data.labels[:, 0].tolist() == [0, 0, 1, 2, 3, 3, 4]
        assert data.class_names == list(SPECIES.values())
        assert data.test_classes.tolist() == [3, 4]


def test_families_and_orders(tree):
    root, _ = tree
    assert CUB200(str(root), verify=False).level_names == ("species",)
    names = ["Laysan_Albatross", "Mallard", "Brown_Pelican", "White_Pelican", "Common_Yellowthroat"]
    write_list(root / "classes.txt", zip(SPECIES, names, strict=True))
    data = CUB200(str(root), verify=False)
    assert data.level_names == ("species", "family", "order")
    assert data.labels[:, 0].tolist() == [0, 0, 1, 2, 3, 3, 4]
    families = ["Diomedeidae", "Diomedeidae", "Anatidae", *["Pelecanidae"] * 3, "Parulidae"]
    assert [data.superclass_names[0][label] for label in data.labels[:, 1]] == families
    orders = ["Procellariiformes"] * 2 + ["Anseriformes"] + ["Pelecaniformes"] * 3
    orders += ["Passeriformes"]
    assert [data.superclass_names[1][label] for label in data.labels[:, 2]] == orders


def test_an_archive_is_unpacked_where_asked(tree, pack, tmp_path):
    path = pack(tree[0], "gztar")
    data = CUB200(str(tmp_path), unpacked=str(tmp_path / "scratch"), verify=False)
    assert (data.image(6) == tree[1][6]).all()
    assert (tmp_path / "scratch" / "CUB_200_2011.unpacked").is_dir()
    assert not (tmp_path / "CUB_200_2011.unpacked").exists()
    assert path.exists()


def test_other_tars_are_left_alone(tmp_path):
    (tmp_path / "holiday.tgz").write_bytes(b"not even a tar")
    with pytest.raises(
        InputError, match=r"image_class_labels.txt does not exist; .*CUB_200_2011.tgz"
    ):
        CUB200(str(tmp_path))


def test_the_whole_release_is_needed(tree):
    assert DATASETS["cub200"] is CUB200
    with pytest.raises(InputError, match="11,788 images and 200 species, found 7 images and 5"):
        CUB200(str(tree[0]))
    (tree[0] / "images/002.Auk/Bird_0002.png").unlink()
    with pytest.raises(InputError, match=r"1 listed images are missing, .* images/002.Auk/Bird_0"):
        CUB200(str(tree[0]))
    # The classes that exist are numbered without gaps.
    data = CUB200(str(tree[0]), verify=False)
    assert data.labels[:, 0].tolist() == [0, 0, 1, 2, 2, 3]
    assert data.class_names == ["001.Albatross", "100.Pelican", "101.Ibis", "200.Wren"]
    assert data.test_classes.tolist() == [2, 3]


def test_lists_that_do_not_fit_are_refused(tree):
    write_list(tree[0] / "classes.txt", [(1, "001.Albatross")])
    with pytest.raises(InputError, match=r"the list of classes lacks \[2, 100, 101, 200\]"):
        CUB200(str(tree[0]), verify=False)
    write_list(tree[0] / "images.txt", [(1, "001.Albatross/Bird_0000.png")])
    with pytest.raises(InputError, match=r"images.txt and image_class_labels.txt list different"):
        CUB200(str(tree[0]), verify=False)
    (tree[0] / "images.txt").unlink()
    with pytest.raises(
        InputError, match=r"images.txt does not exist; expected CUB_200_2011.tgz or"
    ):
        CUB200(str(tree[0]), verify=False)


def test_a_whole_release_is_accepted(tree, monkeypatch):
    counts = dict(zip(CUB200.official_counts, (7, 5), strict=True))
    monkeypatch.setattr(CUB200, "official_counts", counts)
    assert len(CUB200(str(tree[0]))) == counts["images"]
