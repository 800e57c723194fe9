"""CUB200: photos of birds of 200 species."""

import numpy as np

from .image_files import ImageFiles
from .release import open_release
from .taxonomy import bird_groups

_LISTS = ("images.txt", "classes.txt")
_TRAINING_CLASSES = 100


class CUB200(ImageFiles):
    """Caltech-UCSD Birds-200-2011: 11,788 photos of 200 species.

    The official test classes of metric learning are the last 100. Coarser levels are the 37
    families and 13 orders of the species; a release with other species has none.
    Source: Wah et al., "The Caltech-UCSD Birds-200-2011 Dataset", CNS-TR-2011-001.

    Args:
        root: the folder ``CUB_200_2011``, the archive ``CUB_200_2011.tgz`` (unpacked once), or a
            folder that contains either.
        unpacked: the folder that an archive is unpacked into. Default: the folder of the archive.
        verify: accept only the complete release. Default True; otherwise listed photos that do
            not exist are left out.

    Raises:
        InputError: a file is missing, or the release is incomplete.
    """

    layout = (
        "CUB_200_2011.tgz or CUB_200_2011/{images.txt, image_class_labels.txt, classes.txt, "
        "images/}"
    )
    source = "https://www.vision.caltech.edu/datasets/cub_200_2011/"
    official_counts = {"images": 11788, "species": 200}  # noqa: RUF012
    level_names = ("species",)

    def __init__(self, root: str, unpacked: str | None = None, verify: bool = True):
        archive, base, present = open_release(
            self,
            root,
            "image_class_labels.txt",
            also=_LISTS,
            tar="CUB_200_2011",
            unpacked=unpacked,
        )
        files, classes = (dict(archive.table(base + name, (int, str))) for name in _LISTS)
        labels = dict(archive.table(f"{base}image_class_labels.txt", (int, int)))
        if files.keys() != labels.keys():
            raise self.missing(
                archive.path, "images.txt and image_class_labels.txt list different images"
            )
        paths = [f"{base}images/{file}" for file in files.values()]
        kept = self.present_files(archive.path, paths, present, verify=verify)
        self.entries = [(archive, path) for path in np.array(paths)[kept].tolist()]
        official = np.array([labels[image] for image in files])[kept]
        self.number_classes(official[:, None], classes, test=official > _TRAINING_CLASSES)
        self.add_levels(bird_groups)
        if verify:
            self.check_counts(archive.path, len(self), len(self.class_names))
