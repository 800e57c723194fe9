"""In-Shop's layout, labels, query and gallery."""

import shutil

import pytest

from pml_hyperbolic.benchmark.datasets import DATASETS, InShop
from pml_hyperbolic.errors import InputError

ROWS = [
    ("WOMEN/Dresses/id_00000002/02_1_front.png", "id_00000002", "train"),
    ("WOMEN/Dresses/id_00000002/02_2_side.png", "id_00000002", "train"),
    ("MEN/Denim/id_00000007/01_1_front.png", "id_00000007", "train"),
    ("WOMEN/Dresses/id_00000001/02_1_front.png", "id_00000001", "query"),
    ("WOMEN/Dresses/id_00000001/02_2_side.png", "id_00000001", "gallery"),
    ("MEN/Denim/id_00000009/01_1_front.png", "id_00000009", "gallery"),
    ("MEN/Denim/id_00000009/01_3_back.png", "id_00000009", "query"),
]


@pytest.fixture
def tree(tmp_path, write_image):
    """The folder of a tiny release, and its photos in the order of the list."""
    folder = tmp_path / "inshop"
    photos = [
        write_image(folder / "Img/img" / name, (5 + i, 4)) for i, (name, _, _) in enumerate(ROWS)
    ]
    (folder / "Eval").mkdir()
    write_list(folder, ROWS)
    return folder, photos


def write_list(folder, rows):
    lines = [f"{len(rows)}\n", "image_name item_id evaluation_status\n"]
    # The columns are aligned with spaces.
    lines += [f"img/{name:<70}{item}  {status}\n" for name, item, status in rows]
    (folder / "Eval/list_eval_partition.txt").write_text("".join(lines))


@pytest.mark.parametrize("form", ["folder", "flat", "zip", "tgz", "one zip"])
def test_photos_labels_query_and_gallery(tree, pack, form):
    root, photos = tree
    if form == "flat":
        shutil.move(root / "Img/img", root / "img")
        shutil.move(root / "Eval/list_eval_partition.txt", root)
    elif form == "one zip":
        root = pack(root)
    elif form != "folder":
        pack(root / "Img/img", "zip" if form == "zip" else "gztar")
    data = InShop(str(root), verify=False)
    assert all((data.image(i) == photo).all() for i, photo in enumerate(photos))
    # Classes are in the order of the articles' numbers.
    assert data.class_names == ["id_00000001", "id_00000002", "id_00000007", "id_00000009"]
    assert data.labels[:, 0].tolist() == [1, 1, 2, 0, 0, 3, 3]
    assert data.labels[:, 1].tolist() == [1, 1, 0, 1, 1, 0, 0]
    assert data.level_names == ("article", "category")
    assert len(data.superclass_names[0]) == 2
    assert data.test_classes.tolist() == [0, 3]
    assert data.query.tolist() == [False] * 3 + [True, False, False, True]
    assert data.gallery.tolist() == [False] * 4 + [True, True, False]


def test_the_whole_release_is_needed(tree):
    assert DATASETS["inshop"] is InShop
    with pytest.raises(InputError) as error:
        InShop(str(tree[0]))
    assert "25,882 training images and 14,218 query images and 12,612 gallery" in str(error.value)
    assert "found 3 training images and 2 query images and 2 gallery images" in str(error.value)
    assert "3,997 training articles and 3,985 test articles" in str(error.value)


def test_photos_that_are_not_there(tree):
    root, photos = tree
    (root / "Img/img" / ROWS[0][0]).unlink()
    (root / "Img/img" / ROWS[3][0]).unlink()
    with pytest.raises(InputError, match="2 listed images are missing, the first is Img/img/WOMEN"):
        InShop(str(root))
    data = InShop(str(root), verify=False)
    assert data.labels[:, 0].tolist() == [1, 2, 0, 3, 3]
    assert data.query.tolist() == [False, False, False, False, True]
    assert (data.image(1) == photos[2]).all()
    shutil.rmtree(root / "Img")
    with pytest.raises(InputError, match=r"neither img/ nor an archive img exists; .*mmlab"):
        InShop(str(root))


def test_unknown_parts_are_refused(tree):
    write_list(tree[0], [*ROWS[:3], (ROWS[3][0], "id_00000001", "validation")])
    with pytest.raises(InputError, match=r"assigns images to \['validation'\], not only to"):
        InShop(str(tree[0]))


def test_a_whole_release_is_accepted(tree, monkeypatch):
    counts = dict(zip(InShop.official_counts, (3, 2, 2, 2, 2), strict=True))
    monkeypatch.setattr(InShop, "official_counts", counts)
    assert len(InShop(str(tree[0]))) == 7
