"""Tiny releases in the official layouts of all data sets, with few classes and random photos."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from pml_hyperbolic.benchmark.datasets.taxonomy import bird_groups

TRAIN, TEST, EACH = 26, 4, 3
_BIRDS = (
    *("Gadwall", "Hooded_Merganser", "Mallard", "Red_breasted_Merganser", "Anna_Hummingbird"),
    *("Green_Violetear", "Ruby_throated_Hummingbird", "Rufous_Hummingbird", "Chuck_will_Widow"),
    *("Nighthawk", "Whip_poor_Will", "Crested_Auklet", "Horned_Puffin", "Least_Auklet"),
    *("Parakeet_Auklet", "Artic_Tern", "Black_Tern", "California_Gull", "Caspian_Tern"),
    *("Belted_Kingfisher", "Green_Kingfisher", "Pied_Kingfisher", "Horned_Lark", "Pacific_Loon"),
    *("American_Crow", "Blue_Jay", "Bank_Swallow", "Barn_Swallow", "Brown_Creeper"),
    "Cedar_Waxwing",
)
_NOISE = np.random.default_rng(0)


def write_all(folder: Path) -> dict[str, Path]:
    """Write all releases; return name of the data set -> root, as in a config."""
    return {name: write(folder / name) for name, write in _WRITERS.items()}


def _photo(path, mode="RGB", size=(40, 36)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = _NOISE.integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def _write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def _halves(first_of_test):
    """Return class numbers: training classes from 1, test classes from their official start."""
    return [*range(1, TRAIN + 1), *range(first_of_test, first_of_test + TEST)]


def _cub200(root):
    folder = root / "CUB_200_2011"
    species = {label: f"{label:03d}.Bird" for label in _halves(101)}
    photos = [(label, f"{species[label]}/{i}.png") for label in species for i in range(EACH)]
    for _, name in photos:
        _photo(folder / "images" / name)
    _write(folder / "classes.txt", (f"{label} {name}" for label, name in species.items()))
    _write(folder / "images.txt", (f"{i} {name}" for i, (_, name) in enumerate(photos, 1)))
    labels = (f"{i} {label}" for i, (label, _) in enumerate(photos, 1))
    _write(folder / "image_class_labels.txt", labels)
    return root


def _cars196(root):
    sides = [(f"bbox_{side}", "O") for side in ("x1", "y1", "x2", "y2")]
    rows = []
    for label in _halves(99):
        for _ in range(EACH):
            path = f"car_ims/{len(rows) + 1:06d}.png"
            _photo(root / path)
            rows.append((path, 1, 2, 3, 4, label))
    kinds = [("relative_im_path", "O"), *sides, ("class", "O")]
    names = np.array([f"Model {i}" for i in range(1, 197)], dtype=object)
    content = {"annotations": np.array(rows, dtype=kinds), "class_names": names}
    savemat(root / "cars_annos.mat", content)
    return root


def _sop(root):
    folder = root / "Stanford_Online_Products"
    number = 0
    for part, labels in (
        ("train", range(1, TRAIN + 1)),
        ("test", range(TRAIN + 1, TRAIN + TEST + 1)),
    ):
        lines = ["image_id class_id super_class_id path"]
        for label in labels:
            for i in range(EACH):
                number += 1
                category = label % 2 + 1
                path = f"{['lamp', 'sofa'][label % 2]}_final/{label}_{i}.png"
                _photo(folder / path)
                lines.append(f"{number} {label} {category} {path}")
        _write(folder / f"Ebay_{part}.txt", lines)
    return root


def _inshop(root):
    rows = []
    for label in range(1, TRAIN + TEST + 1):
        item = f"id_{label:08d}"
        for i in range(EACH):
            name = f"img/{['MEN', 'WOMEN'][label % 2]}/Denim/{item}/{i}.png"
            _photo(root / "Img" / name)
            part = "train" if label <= TRAIN else "gallery" if i else "query"
            rows.append(f"{name:<60}{item}  {part}")
    header = [str(len(rows)), "image_name item_id evaluation_status"]
    _write(root / "Eval/list_eval_partition.txt", [*header, *rows])
    return root


def _omniglot(root):
    for part, characters in (("images_background", TRAIN), ("images_evaluation", TEST)):
        for character in range(1, characters + 1):
            folder = root / part / f"{part}_{character % 2}" / f"character{character:02d}"
            for i in range(EACH):
                _photo(folder / f"{i}.png", "1", (105, 105))
    return root


def _grocery(root):
    folder = root / "GroceryStoreDataset/dataset"
    rows = ["Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),A,B"]
    lists = {"train": [], "val": [], "test": []}
    for label in range(TRAIN + TEST):
        rows.append(f"Fruit-{label},{label},Coarse-{label // 2},{label // 2},/a.jpg,/a.txt")
        for part, lines in lists.items():
            path = f"{part}/Fruit/Fruit-{label}/{label}.png"
            _photo(folder / path)
            lines.append(f"{path}, {label}, {label // 2}")
    _write(folder / "classes.csv", rows)
    for part, lines in lists.items():
        _write(folder / f"{part}.txt", lines)
    return root


def _image_folder(root):
    """Write photos of birds that the taxonomy knows."""
    for name in _BIRDS:
        for i in range(EACH):
            _photo(root / bird_groups(name)["family"] / name / f"{i}.png")
    return root


def _features(root):
    root.mkdir()
    labels = np.repeat(np.arange(TRAIN + TEST), EACH)
    features = _NOISE.standard_normal((len(labels), 12)).astype(np.float32)
    np.savez(root / "features.npz", features=features, labels=labels)
    return root / "features.npz"


_WRITERS = {
    "cub200": _cub200,
    "cars196": _cars196,
    "sop": _sop,
    "inshop": _inshop,
    "omniglot": _omniglot,
    "grocery": _grocery,
    "features": _features,
    "image_folder": _image_folder,
}
