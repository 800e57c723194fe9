"""Images in class folders."""

import pytest

from pml_hyperbolic.benchmark.datasets import DATASETS, ImageFolder
from pml_hyperbolic.errors import InputError

FLAT = ["cup/1.png", "cup/2.png", "fork/1.bmp"]
DEEP = ["kitchen/cup/1.png", "kitchen/fork/1.png", "garden/fork/1.png", "garden/fork/2.png"]


@pytest.fixture
def write_tree(tmp_path, write_image):
    """A function that writes images with these names and returns their folder and pixels."""

    def write(names):
        folder = tmp_path / "my photos"
        images = {name: write_image(folder / name, (4 + i, 3)) for i, name in enumerate(names)}
        (folder / "notes.txt").write_text("not an image")
        (folder / ".hidden.png").write_text("not an image either")
        return folder, images

    return write


@pytest.mark.parametrize("form", ["folder", "zip", "gztar"])
def test_class_folders(write_tree, pack, form):
    assert DATASETS["image_folder"] is ImageFolder
    root, images = write_tree(FLAT)
    data = ImageFolder(str(root if form == "folder" else pack(root, form)))
    assert data.class_names == ["cup", "fork"]
    assert data.labels.tolist() == [[0], [0], [1]]
    assert data.level_names == ("class",)
    assert data.test_classes is None
    assert all((data.image(i) == images[name]).all() for i, name in enumerate(FLAT))


@pytest.mark.parametrize("form", ["folder", "zip", "gztar"])
def test_superclass_folders(write_tree, pack, form):
    root, images = write_tree(DEEP)
    data = ImageFolder(str(root if form == "folder" else pack(root, form)))
    # Classes of the same name in two superclasses are different classes.
    assert data.class_names == ["garden/fork", "kitchen/cup", "kitchen/fork"]
    assert data.labels.tolist() == [[0, 0], [0, 0], [1, 1], [2, 1]]
    assert data.level_names == ("class", "superclass")
    assert data.superclass_names == (["garden", "kitchen"],)
    assert (data.image(2) == images["kitchen/cup/1.png"]).all()


def test_levels_from_the_names_of_classes(write_tree):
    names = ["a/002.Laysan_Albatross/1.png", "a/009.Brewer_Blackbird/1.png", "b/Mallard/1.png"]
    root, _ = write_tree(names)
    data = ImageFolder(str(root), taxonomy="birds")
    assert data.level_names == ("class", "family", "order")
    assert data.superclass_names[0] == ["Anatidae", "Diomedeidae", "Icteridae"]
    assert data.labels.tolist() == [[0, 1, 2], [1, 2, 1], [2, 0, 0]]
    with pytest.raises(InputError, match=r"taxonomy cars does not know 3 of 3 classes, the first"):
        ImageFolder(str(root), taxonomy="cars")
    with pytest.raises(InputError, match=r"no taxonomy 'bird': did you mean 'birds'"):
        ImageFolder(str(root), taxonomy="bird")


def test_one_class_stays_a_class(write_tree):
    root, _ = write_tree(FLAT[:2])
    assert ImageFolder(str(root)).class_names == ["cup"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.png", *FLAT], r"depth 0 \(a.png\), 1 \(fork/1.bmp\): expected"),
        (["a.png"], r"depth 0 \(a.png\): expected"),
        ([*FLAT, *DEEP], r"depth 1 \(fork/1.bmp\), 2 \(kitchen/fork/1.png\): expected"),
        (["a/b/c/1.png", "d/e/f/1.png"], r"depth 3 \(d/e/f/1.png\): expected"),
        (
            [],
            r"holds no images \(.jpg, .*\), but 2 files: 1 .txt \(such as notes.txt\), 1 hidden: ",
        ),
    ],
)
def test_other_trees_are_refused(write_tree, tmp_path, names, message):
    (tmp_path / "my photos").mkdir()
    root, _ = write_tree(names)
    with pytest.raises(InputError, match=message) as error:
        ImageFolder(str(root))
    assert "class/*.jpg or superclass/class/*.jpg" in str(error.value)


def test_a_missing_root(tmp_path):
    with pytest.raises(InputError, match=r"no such folder or archive; expected class/\*.jpg"):
        ImageFolder(str(tmp_path / "nowhere"))


def test_a_damaged_image_is_named(write_tree):
    root, _ = write_tree(FLAT)
    (root / "cup/2.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"my photos/cup/2.png cannot be read as an image"):
        ImageFolder(str(root)).image(1)


@pytest.mark.parametrize("form", ["folder", "zip", "gztar"])
def test_what_is_passed_over_is_counted(write_tree, pack, form):
    root, _ = write_tree(FLAT)
    for name in ("cup/3.HEIC", "cup/4.heic", "phone/1.heic"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "mug").mkdir()
    data = ImageFolder(str(root if form == "folder" else pack(root, form)))
    assert data.class_names == ["cup", "fork"]
    above = "" if form == "folder" else "my photos/"
    place = root if form == "folder" else root.parent / f"my photos.{form}"
    place = root.parent / "my photos.unpacked" if form == "gztar" else place
    assert list(data.passed_over) == [
        f"{place}: passed over 5 files: 3 .heic (such as {above}cup/3.HEIC), 1 .txt (such as "
        f"{above}notes.txt), 1 hidden",
        f"{place}: 2 folders hold no images and are no classes: {above}mug, {above}phone",
    ]


def test_nothing_is_said_of_a_folder_of_images_alone(tmp_path, write_image):
    for name in FLAT:
        write_image(tmp_path / name)
    assert list(ImageFolder(str(tmp_path)).passed_over) == []
