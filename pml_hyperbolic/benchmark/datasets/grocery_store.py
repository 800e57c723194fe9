"""GroceryStore: photos of fruit, vegetables and cartons, taken in shops."""

import csv

import numpy as np

from .image_files import ImageFiles
from .release import open_release

_LISTS = ("train.txt", "val.txt", "test.txt")


class GroceryStore(ImageFiles):
    """Grocery Store Dataset: 5,421 photos of 81 fine classes in 43 coarse ones.

    The published lists split every class's photos; all three lists are taken together here,
    because metric learning splits classes.
    Source: Klasson et al., "A Hierarchical Grocery Store Image Dataset with Visual and Semantic
    Labels", WACV 2019.

    Args:
        root: the folder ``GroceryStoreDataset`` (or one that holds it) or a zip of it.
        verify: refuse a part of the data set. Default True; without, listed photos that are not
            there are left out.

    Raises:
        InputError: something is missing.
    """

    layout = "GroceryStoreDataset/dataset/{train.txt, val.txt, test.txt, classes.csv, train/, ...}"
    source = "https://github.com/marcusklasson/GroceryStoreDataset"
    official_counts = {"images": 5421, "classes": 81, "coarse classes": 43}  # noqa: RUF012
    level_names = ("product", "coarse product")

    def __init__(self, root: str, verify: bool = True):
        archive, base, present = open_release(self, root, "classes.csv", also=_LISTS)
        rows = [
            [cell.strip() for cell in line.split(",")]
            for name in _LISTS
            for line in archive.text(base + name).splitlines()
            if line.strip()
        ]
        files = [base + row[0] for row in rows]
        if verify:
            self.check_listed(archive.path, files, present)
        kept = [(file, row) for file, row in zip(files, rows, strict=True) if file in present]
        self.entries = [(archive, file) for file, _ in kept]
        self.labels = np.array([row[1:3] for _, row in kept], dtype=np.int64).reshape(-1, 2)
        classes = list(csv.reader(archive.text(base + "classes.csv").splitlines()))[1:]
        self.class_names = [row[0] for row in sorted(classes, key=lambda row: int(row[1]))]
        if verify:
            found = (len(kept), *(len(np.unique(level)) for level in self.labels.T))
            self.check_counts(archive.path, dict(zip(self.official_counts, found, strict=True)))
