"""ImageFolder: any images sorted into class folders."""

from itertools import takewhile

import numpy as np

from ...errors import InputError, nearest
from ...images.image_archive import ImageArchive
from ...images.image_names import ImageNames
from .image_files import ImageFiles
from .release import existing_root
from .taxonomy import TAXONOMIES


class ImageFolder(ImageFiles):
    """Images in folders that are named after their class, or after superclass and class.

    Classes are numbered in the order of their names. A folder that contains all others, such as
    the only folder of a zip, is not a level. Hidden files, files that are not images by their names
    and folders without images are passed over, and counted in ``passed_over``.

    Args:
        root: a folder of ``class/*.jpg`` or ``superclass/class/*.jpg``, or a zip (read in place)
            or tar (unpacked once) of such a folder.
        unpacked: the folder that a tar is unpacked into. Default: the folder of the tar.
        taxonomy: "birds" or "cars": take the coarser levels from the names of the classes, which
            are those of CUB200 (with its families and orders) or Cars196 (with its body types),
            and not from the folders of superclasses. Default: from the folders.

    Raises:
        InputError: there are no images, they are not all at the same depth, or the taxonomy does
            not know a class.
    """

    layout = "class/*.jpg or superclass/class/*.jpg (in a folder, a zip or a tar)"
    source = "your own images"

    def __init__(self, root: str, unpacked: str | None = None, taxonomy: str | None = None):
        if taxonomy is not None and taxonomy not in TAXONOMIES:
            raise InputError(f"there is no taxonomy {taxonomy!r}: {nearest(taxonomy, TAXONOMIES)}")
        archive = ImageArchive(existing_root(self, root), unpacked)
        try:
            names, self.passed_over = ImageNames.of(archive)
        except InputError as error:
            raise InputError(f"{error}; expected {self.layout}") from None
        paths = sorted(tuple(name.split("/")) for name in names)
        folders = [path[:-1] for path in paths]
        # The class folder itself is kept, even if it is the only one.
        parents = zip(*(folder[:-1] for folder in folders), strict=False)
        common = len(list(takewhile(lambda names: len(set(names)) == 1, parents)))
        levels = [folder[common:] for folder in folders]
        examples = {len(level): "/".join(path) for level, path in zip(levels, paths, strict=True)}
        if set(examples) not in ({1}, {2}):
            found = ", ".join(f"{depth} ({path})" for depth, path in sorted(examples.items()))
            raise InputError(
                f"{archive.path}: images lie in folders of depth {found}: expected all images in "
                f"{self.layout}"
            )
        self.entries = [(archive, "/".join(path)) for path in paths]
        # Two superclasses may have classes of the same name.
        columns = [["/".join(level) for level in levels]]
        self.level_names = ("class",)
        if 2 in examples and taxonomy is None:
            columns.append([level[0] for level in levels])
            self.level_names = ("class", "superclass")
        self.labels = np.stack(
            [np.unique(column, return_inverse=True)[1] for column in columns], axis=1
        ).astype(np.int64)
        self.class_names, *coarser = (np.unique(column).tolist() for column in columns)
        self.superclass_names = tuple(coarser)
        if taxonomy is not None:
            groups_of = TAXONOMIES[taxonomy]
            unknown = [name for name in self.class_names if groups_of(name) is None]
            if unknown:
                raise InputError(
                    f"{archive.path}: the taxonomy {taxonomy} does not know {len(unknown)} of "
                    f"{len(self.class_names)} classes, the first is {unknown[0]}: rename them, or "
                    f"leave out taxonomy"
                )
            self.add_levels(groups_of)
