"""StanfordOnlineProducts: photos of articles sold on eBay."""

import numpy as np

from .image_files import ImageFiles
from .release import open_release

_LISTS = ("Ebay_train.txt", "Ebay_test.txt")


class StanfordOnlineProducts(ImageFiles):
    """Stanford Online Products: 120,053 photos of 22,634 products in 12 categories.

    The official test classes are the 11,316 products of ``Ebay_test.txt``.
    Source: Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016.

    Args:
        root: the folder ``Stanford_Online_Products``, a zip of it (read in place), or a folder
            that contains either.
        unpacked: the folder that a tar is unpacked into. Default: the folder of the tar.
        verify: accept only the complete release. Default True; otherwise listed photos that do
            not exist are left out.

    Raises:
        InputError: a file is missing, or the release is incomplete.
    """

    layout = (
        "Stanford_Online_Products.zip or Stanford_Online_Products/{Ebay_train.txt, "
        "Ebay_test.txt, bicycle_final/, ...}"
    )
    source = "https://cvgl.stanford.edu/projects/lifted_struct/"
    official_counts = {  # noqa: RUF012
        "training images": 59551,
        "test images": 60502,
        "training products": 11318,
        "test products": 11316,
        "categories": 12,
    }
    level_names = ("product", "category")

    def __init__(self, root: str, unpacked: str | None = None, verify: bool = True):
        archive, base, present = open_release(
            self,
            root,
            _LISTS[0],
            also=_LISTS[1:],
            tar="Stanford_Online_Products",
            unpacked=unpacked,
        )
        # Columns: image, class, super class, path.
        parts = [archive.table(base + name, (int, int, int, str), header=1) for name in _LISTS]
        rows = [row for part in parts for row in part]
        test = np.repeat([False, True], [len(part) for part in parts])
        files = [base + row[3] for row in rows]
        kept = self.present_files(archive.path, files, present, verify=verify)
        self.entries = [(archive, file) for file in np.array(files)[kept].tolist()]
        # The release names a product by its category and number only.
        names = {row[1]: f"{row[3].split('/')[0].removesuffix('_final')}/{row[1]}" for row in rows}
        categories = {row[2]: row[3].split("/")[0].removesuffix("_final") for row in rows}
        self.number_classes(
            np.array([row[1:3] for row in rows])[kept], names, categories, test=test[kept]
        )
        if verify:
            testing = int(test[kept].sum())
            test_products = len(np.unique(self.labels[test[kept], 0]))
            self.check_counts(
                archive.path,
                len(self) - testing,
                testing,
                len(self.class_names) - test_products,
                test_products,
                len(np.unique(self.labels[:, 1])),
            )
