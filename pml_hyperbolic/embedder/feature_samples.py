"""From precomputed features to samples, for a model without a backbone."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..array_files import read_arrays
from ..errors import InputError
from ..file_kinds import UNREADABLE, why_unreadable
from .sample import Sample

_EXPECTED = "expected features (D,) or (N, D) of floats, or a file .npz or .pt with these"


def feature_samples(features: Any, dimension: int) -> list[Sample]:
    """List every row of the features, in order.

    Args:
        features: a tensor or an array (D,) or (N, D); the path of an ``.npz`` or ``.pt`` with
            ``features`` and, if any, ``labels``; or a list of these.
        dimension: D of the model.

    Raises:
        InputError: something else, no row, another dimension, or a value that is not finite.
    """
    if isinstance(features, (str, os.PathLike, np.ndarray, torch.Tensor)):
        samples = _samples(features, "features", dimension)
    elif isinstance(features, (list, tuple)):
        samples = [
            sample
            for number, part in enumerate(features)
            for sample in _samples(part, f"features {number}", dimension)
        ]
    else:
        raise InputError(f"features are a {type(features).__name__}: {_EXPECTED}, or a list")
    if not samples:
        raise InputError("there are no features: give at least one row")
    return samples


def _samples(features, name, dimension):
    labels = None
    if isinstance(features, (str, os.PathLike)):
        name = str(features)
        features, labels = _read(Path(features).expanduser())
    values = torch.as_tensor(features).detach().cpu()
    single = values.ndim == 1
    values = values[None] if single else values
    if values.ndim != 2 or not values.is_floating_point():
        raise InputError(f"{name}: got {values.dtype} of shape {tuple(values.shape)}, {_EXPECTED}")
    if values.shape[1] != dimension:
        raise InputError(
            f"{name}: this model takes features of {dimension} dimensions, got {values.shape[1]}"
        )
    labels = [None] * len(values) if labels is None else labels
    if len(labels) != len(values):
        raise InputError(f"{name}: {len(values)} features have {len(labels)} labels")
    names = [name] if single else [f"{name}[{row}]" for row in range(len(values))]
    rows = values.float().numpy()
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise InputError(f"{names[broken[0]]} is not finite: leave such rows out")
    return [
        Sample(row_name, partial(_row, row), label)
        for row_name, row, label in zip(names, rows, labels, strict=True)
    ]


def _row(row, preprocessing):
    """Read a sample that is in memory already; nothing is done to features."""
    return row


def _read(path):
    """Read (features, labels or None); neither reader runs code that a file might carry."""
    if not path.is_file():
        raise InputError(f"{path} is missing: {_EXPECTED}")
    try:
        content = read_arrays(path, ("features", "labels"))
        features, labels = torch.as_tensor(content["features"]), content.get("labels")
        labels = None if labels is None else np.asarray(labels)
    except UNREADABLE as error:
        reason = why_unreadable(path, error)
        raise InputError(f"{path} cannot be read ({reason}): {_EXPECTED}") from error
    if labels is None or labels.ndim == 0:
        return features, None
    # The first column is the finest label.
    return features, [str(label) for label in (labels if labels.ndim == 1 else labels[:, 0])]
