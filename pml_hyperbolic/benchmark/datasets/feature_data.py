"""FeatureData: precomputed features instead of images."""

from pathlib import Path

import numpy as np
import torch

from ...array_files import read_arrays
from ...errors import InputError
from ...file_kinds import UNREADABLE, why_unreadable
from .labelled_data import LabelledData

_EXPECTED = (
    "features (N, D) of floats and labels (N,) or (N, L), as "
    "numpy.savez('NAME.npz', features=..., labels=...) writes it"
)


class FeatureData(LabelledData):
    """Features that a frozen model computed from the samples of any data set.

    Heads and losses can then be compared in minutes on a CPU. The features are not normalised.

    Args:
        root: an ``.npz`` file with the arrays ``features`` and ``labels``, or a ``.pt`` file with
            a dict or a pair of these two tensors. Labels may be integers or names; the first
            column is the class that methods train on, further columns are coarser levels.
        level_names: names of these columns. Default: class, superclass, level 3, ...

    Attributes:
        features: (N, D) float32.

    Raises:
        InputError: the file does not exist, is damaged, contains code, or contains anything but
            finite features with their labels.
    """

    features: np.ndarray

    def __init__(self, root: str, level_names: list[str] | None = None):
        path = Path(root).expanduser().absolute()
        if not path.is_file():
            raise InputError(
                f"{path} does not exist: expected an .npz or .pt file with {_EXPECTED}"
            )
        features, labels = _read(path)
        if features.ndim != 2 or features.dtype.kind != "f" or not features.size:
            raise InputError(
                f"{path}: features must be (N, D) of floats, got {features.dtype} of shape "
                f"{features.shape}: write one row of floats for each sample"
            )
        labels = labels[:, None] if labels.ndim == 1 else labels
        if labels.ndim != 2 or labels.dtype.kind not in "iuU" or len(labels) != len(features):
            raise InputError(
                f"{path}: labels must be integers or names of shape (N,) or (N, L) for N = "
                f"{len(features)} features, got {labels.dtype} of shape {labels.shape}: write one "
                f"label, or one row of them, for each sample"
            )
        with np.errstate(over="ignore"):
            self.features = features.astype(np.float32)
        broken = np.flatnonzero(~np.isfinite(self.features).all(axis=1))
        if len(broken):
            raise InputError(
                f"{path}: features of {len(broken):,} samples are not finite in float32, the "
                f"first is sample {broken[0]}: remove such samples"
            )
        count = labels.shape[1]
        if level_names is None:
            level_names = ["class", "superclass", *(f"level {i}" for i in range(3, count + 1))]
            level_names = level_names[:count]
        if len(level_names) != count:
            raise InputError(
                f"{path}: labels have {count} columns, but level_names has {len(level_names)} "
                f"names: give one name per column"
            )
        self.level_names = tuple(level_names)
        columns = [np.unique(column, return_inverse=True) for column in labels.T]
        self.labels = np.stack([inverse for _, inverse in columns], axis=1).astype(np.int64)
        for i in range(1, count):
            self._check_coarser(path, i)
        self.class_names, *coarser = ([str(name) for name in names] for names, _ in columns)
        self.superclass_names = tuple(coarser)

    def _check_coarser(self, path, column):
        """Refuse a label that belongs to two coarser ones; usually columns are in wrong order."""
        pairs = np.unique(self.labels[:, column - 1 : column + 1], axis=0)[:, 0]
        split = pairs[1:][pairs[1:] == pairs[:-1]]
        if len(split):
            raise InputError(
                f"{path}: label {split[0]} of column {column - 1} (counted from 0, labels in "
                f"sorted order) belongs to several labels of column {column}: order the columns "
                f"from fine to coarse"
            )


def _read(path):
    try:
        content = read_arrays(path, ("features", "labels"))
        if isinstance(content, dict):
            content = content["features"], content["labels"]
        features, labels = map(_as_array, content)
        return features, labels
    except UNREADABLE as error:
        reason = why_unreadable(path, error)
        raise InputError(
            f"{path} cannot be read ({reason}): expected an .npz or .pt file with {_EXPECTED}"
        ) from error


def _as_array(values):
    if torch.is_tensor(values):
        # NumPy has no bfloat16.
        values = values.detach().float() if values.is_floating_point() else values
        return values.numpy()
    return np.asarray(values)
