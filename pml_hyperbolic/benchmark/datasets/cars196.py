"""Cars196: photos of cars of 196 models."""

import io

import numpy as np

from ...errors import InputError, message_of
from ...images.image_archive import ImageArchive
from .image_files import ImageFiles
from .release import existing_root, open_images, prefix_of
from .taxonomy import car_groups

_TRAINING_CLASSES = 98


class Cars196(ImageFiles):
    """Stanford Cars: 16,185 photos of 196 models.

    The official test classes of metric learning are the last 98. The coarser level is the body
    type, such as coupe or pickup; a release with models of unknown body type has none.
    Source: Krause et al., "3D Object Representations for Fine-Grained Categorization", 3dRR 2013.

    Args:
        root: a folder that contains ``cars_annos.mat`` and ``car_ims.tgz`` (unpacked once) or the
            folder ``car_ims``; or the release in two parts: ``devkit``,
            ``cars_test_annos_withlabels.mat``, and ``cars_train`` and ``cars_test`` as folders or
            ``.tgz``.
        unpacked: the folder that tars are unpacked into. Default: the folder of the tar.
        verify: accept only the complete release. Default True; otherwise listed photos that do
            not exist are left out.

    Raises:
        InputError: a file is missing, or the release is incomplete.
    """

    layout = (
        "a folder with cars_annos.mat and car_ims.tgz (or car_ims/), or one with "
        "devkit/{cars_meta.mat, cars_train_annos.mat}, cars_test_annos_withlabels.mat, "
        "cars_train/ and cars_test/"
    )
    source = "the Stanford Cars page, http://ai.stanford.edu/~jkrause/cars/car_dataset.html"
    official_counts = {"images": 16185, "models": 196}  # noqa: RUF012
    level_names = ("model",)

    def __init__(self, root: str, unpacked: str | None = None, verify: bool = True):
        archive = ImageArchive(existing_root(self, root), unpacked)
        present = set(archive.names())
        annotations = prefix_of(present, "cars_annos.mat")
        if annotations is not None:
            content = _read_mat(archive, f"{annotations}cars_annos.mat")
            files = [str(path) for path in _column(content, "relative_im_path")]
            labels = _column(content, "class")
            parts = [("car_ims", files, labels)]
        else:
            parts = []
            for folder, name in (
                ("cars_train", "cars_train_annos.mat"),
                ("cars_test", "cars_test_annos_withlabels.mat"),
            ):
                content = self._read_one(archive, present, name)
                files = [f"{folder}/{file}" for file in _column(content, "fname")]
                parts.append((folder, files, _column(content, "class")))
            content = self._read_one(archive, present, "cars_meta.mat")
        names = [str(name) for name in np.atleast_1d(content["class_names"])]
        self.entries = []
        numbers: list[int] = []
        for folder, files, labels in parts:
            images, prefix, found = open_images(self, archive, present, folder, unpacked)
            files = [prefix + file for file in files]
            kept = self.present_files(images.path, files, found, verify=verify)
            self.entries += [(images, file) for file in np.array(files)[kept].tolist()]
            numbers += np.array(labels, dtype=np.int64)[kept].tolist()
        official = np.array(numbers)
        self.number_classes(
            official[:, None], dict(enumerate(names, start=1)), test=official > _TRAINING_CLASSES
        )
        self.add_levels(car_groups)
        if verify:
            self.check_counts(archive.path, len(self), len(self.class_names))

    def _read_one(self, archive, present, name):
        prefix = prefix_of(present, name)
        if prefix is None:
            raise self.missing(archive.path, f"{name} does not exist")
        return _read_mat(archive, prefix + name)


def _read_mat(archive, name):
    from scipy.io import loadmat

    content = archive.read(name)
    try:
        return loadmat(io.BytesIO(content), squeeze_me=True)
    # scipy raises exceptions of many kinds for damaged files.
    except Exception as error:
        reason = message_of(error)
        raise InputError(
            f"{archive.where(name)} is not a MATLAB file ({reason}): download it again"
        ) from error


def _column(content, field):
    return np.atleast_1d(np.atleast_1d(content["annotations"])[field]).tolist()
