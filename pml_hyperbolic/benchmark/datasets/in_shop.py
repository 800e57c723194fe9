"""InShop: photos of clothes, searched by other photos of the same article."""

import numpy as np

from .image_files import ImageFiles
from .release import open_images, open_release

_LIST = "list_eval_partition.txt"
_STATUSES = ("train", "query", "gallery")


class InShop(ImageFiles):
    """DeepFashion In-shop Clothes Retrieval: 52,712 photos of 7,982 articles.

    The official test classes are the 3,985 articles of the query and gallery photos; each query
    photo is searched among the gallery photos. The category is the folder of the photo, such as
    WOMEN/Dresses.
    Source: Liu et al., "DeepFashion: Powering Robust Clothes Recognition and Retrieval with Rich
    Annotations", CVPR 2016.

    Args:
        root: a folder that contains ``list_eval_partition.txt`` (in ``Eval/`` or not) and
            ``img.zip`` (read in place) or the folder ``img`` (in ``Img/`` or not).
        unpacked: the folder that a tar of images is unpacked into. Default: the folder of the tar.
        verify: accept only the complete release. Default True; otherwise listed photos that do
            not exist are left out.

    Raises:
        InputError: a file is missing, or the release is incomplete.
    """

    layout = (
        "a folder with Eval/list_eval_partition.txt and Img/img.zip (or Img/img/{MEN/, WOMEN/})"
    )
    source = "https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html"
    official_counts = {  # noqa: RUF012
        "training images": 25882,
        "query images": 14218,
        "gallery images": 12612,
        "training articles": 3997,
        "test articles": 3985,
    }
    level_names = ("article", "category")

    def __init__(self, root: str, unpacked: str | None = None, verify: bool = True):
        archive, base, present = open_release(self, root, _LIST)
        # The header has two lines: the number of images, and the names of the columns.
        rows = archive.table(base + _LIST, (str, str, str), header=2)
        unknown = sorted({status for *_, status in rows} - set(_STATUSES))
        if unknown:
            raise self.missing(
                archive.path, f"{_LIST} assigns images to {unknown}, not only to {_STATUSES}"
            )
        images, prefix, present = open_images(self, archive, present, "img", unpacked)
        files = [prefix + file for file, _, _ in rows]
        kept = self.present_files(images.path, files, present, verify=verify)
        rows = [row for row, keep in zip(rows, kept, strict=True) if keep]
        self.entries = [(images, prefix + file) for file, _, _ in rows]
        articles, labels = np.unique([row[1] for row in rows], return_inverse=True)
        category_names, categories = np.unique(
            ["/".join(file.split("/")[1:3]) for file, _, _ in rows], return_inverse=True
        )
        train, self.query, self.gallery = (
            np.array([row[2] == status for row in rows]) for status in _STATUSES
        )
        self.number_classes(
            np.stack([labels, categories], axis=1),
            dict(enumerate(articles.tolist())),
            dict(enumerate(category_names.tolist())),
            test=~train,
        )
        if verify:
            self.check_counts(
                archive.path,
                *(int(mask.sum()) for mask in (train, self.query, self.gallery)),
                len(np.unique(labels[train])),
                len(np.unique(labels[~train])),
            )
