"""GroceryStore: photos of fruit, vegetables and cartons, taken in shops."""

import numpy as np

from .image_files import ImageFiles
from .release import open_release

_LISTS = ("train.txt", "val.txt", "test.txt")


class GroceryStore(ImageFiles):
    """Grocery Store Dataset: 5,421 photos of 81 fine classes in 43 coarse ones.

    The published lists split the photos of every class. All three lists are joined here, because
    metric learning splits the classes.
    Source: Klasson et al., "A Hierarchical Grocery Store Image Dataset with Visual and Semantic
    Labels", WACV 2019.

    Args:
        root: the folder ``GroceryStoreDataset``, a zip of it, or a folder that contains
            either.
        verify: accept only the complete release. Default True; otherwise listed photos that do
            not exist are left out.

    Raises:
        InputError: a file is missing, or the release is incomplete.
    """

    layout = "GroceryStoreDataset/dataset/{train.txt, val.txt, test.txt, classes.csv, train/, ...}"
    source = "https://github.com/marcusklasson/GroceryStoreDataset"
    official_counts = {"images": 5421, "classes": 81, "coarse classes": 43}  # noqa: RUF012
    level_names = ("product", "coarse product")

    def __init__(self, root: str, verify: bool = True):
        archive, base, present = open_release(self, root, "classes.csv", also=_LISTS)
        rows = [
            row
            for name in _LISTS
            for row in archive.table(base + name, (str, int, int), separator=",")
        ]
        files = [base + file for file, _, _ in rows]
        kept = self.present_files(archive.path, files, present, verify=verify)
        self.entries = [(archive, file) for file in np.array(files)[kept].tolist()]
        classes = archive.table(
            base + "classes.csv", (str, int, str, int, str), separator=",", header=1
        )
        self.number_classes(
            np.array([labels for _, *labels in rows])[kept],
            {label: name for name, label, *_ in classes},
            {label: name for _, _, name, label, _ in classes},
        )
        if verify:
            counts = self.labels.max(axis=0) + 1
            self.check_counts(archive.path, len(self), *counts.tolist())
