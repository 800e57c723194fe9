"""Stanford Online Products' layout, labels and checks."""

import pytest

from pml_hyperbolic.benchmark.datasets import DATASETS, StanfordOnlineProducts
from pml_hyperbolic.errors import InputError

# Class, super class, path.
PARTS = {
    "Ebay_train.txt": [
        (1, 1, "bicycle_final/111_0.png"),
        (1, 1, "bicycle_final/111_1.png"),
        (2, 1, "bicycle_final/222_0.png"),
        (7, 4, "coffee_maker_final/333_0.png"),
    ],
    "Ebay_test.txt": [(8, 4, "coffee_maker_final/444_0.png"), (9, 2, "cabinet_final/555_0.png")],
}


@pytest.fixture
def tree(tmp_path, write_image):
    """The folder of a tiny release, and its photos in the order of the lists."""
    folder = tmp_path / "Stanford_Online_Products"
    photos = []
    for name, rows in PARTS.items():
        lines = ["image_id class_id super_class_id path\n"]
        for label, category, path in rows:
            photos.append(write_image(folder / path, (5 + len(photos), 4)))
            lines.append(f"{len(photos)} {label} {category} {path}\n")
        (folder / name).write_text("".join(lines))
    (folder / "Ebay_info.txt").write_text("image_id class_id super_class_id path\n")
    return folder, photos


@pytest.mark.parametrize("form", ["folder", "zip", "tgz"])
def test_photos_and_both_levels(tree, pack, form):
    root, photos = tree
    if form != "folder":
        pack(root, "zip" if form == "zip" else "gztar")
    data = StanfordOnlineProducts(str(root.parent), verify=False)
    assert all((data.image(i) == photo).all() for i, photo in enumerate(photos))
    assert data.labels.tolist() == [[0, 0], [0, 0], [1, 0], [2, 2], [3, 2], [4, 1]]
    assert data.level_names == ("product", "category")
    assert data.class_names == [
        "bicycle/1",
        "bicycle/2",
        "coffee_maker/7",
        "coffee_maker/8",
        "cabinet/9",
    ]
    assert data.superclass_names == (["bicycle", "cabinet", "coffee_maker"],)
    assert data.test_classes.tolist() == [3, 4]


def test_the_whole_release_is_needed(tree):
    assert DATASETS["sop"] is StanfordOnlineProducts
    with pytest.raises(InputError) as error:
        StanfordOnlineProducts(str(tree[0]))
    assert "59,551 training images and 60,502 test images" in str(error.value)
    assert "11,318 training products and 11,316 test products and 12" in str(error.value)
    assert "found 4 training images and 2 test images and 3 training products and 2" in str(
        error.value
    )
    (tree[0] / "Ebay_test.txt").unlink()
    with pytest.raises(InputError, match=r"Ebay_test.txt does not exist; expected .*cvgl.stanford"):
        StanfordOnlineProducts(str(tree[0]))


def test_broken_lists_are_named_by_line(tree):
    (tree[0] / "Ebay_train.txt").write_text("header\n1 1 1 a_final/1.jpg\n2 x 1 a_final/2.jpg\n")
    with pytest.raises(InputError, match=r"Ebay_train.txt, line 3: expected 4 columns .*got '2 x"):
        StanfordOnlineProducts(str(tree[0]), verify=False)


def test_a_whole_release_is_accepted(tree, monkeypatch):
    counts = dict(zip(StanfordOnlineProducts.official_counts, (4, 2, 3, 2, 3), strict=True))
    monkeypatch.setattr(StanfordOnlineProducts, "official_counts", counts)
    assert len(StanfordOnlineProducts(str(tree[0]))) == 6
