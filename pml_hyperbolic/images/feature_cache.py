"""Features of all images of a data set, computed once and kept beside the decoded images."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from ..checked_files import open_checked, write_checked
from ..errors import InputError, message_of
from ..files import content_hash
from .image_cache import CACHE_VARIABLE, cache_folder

# Raise this number whenever the files change.
_FORMAT = 1


def cached_features(
    compute: Callable[[], np.ndarray],
    *,
    name: str,
    identity: Mapping[str, Any],
    shape: tuple[int, int],
) -> np.ndarray:
    """Return features from the cache folder, or compute them and keep them there.

    Only one process computes them; other processes that want the same features wait for it. A file
    that is damaged or holds something else is replaced, which a line on stderr says.

    Args:
        compute: returns the features, ``shape`` float32.
        name: of the data set, for the file and for messages.
        identity: plain data (as JSON takes it) that determines the features.
        shape: (N, D), number of images and dimension of the features.

    Raises:
        InputError: the cache folder cannot be written to.
    """
    import filelock

    key = content_hash({**identity, "format": _FORMAT})
    file = cache_folder() / f"{name}-features-{key}.npz"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(file.with_name(f"{file.name}.lock")):
            if file.exists():
                try:
                    return _read(file, key, shape)
                # NumPy and zipfile raise what they like for damaged files.
                except Exception as error:
                    reason = message_of(error)
                    tqdm.tqdm.write(
                        f"the features in {file} cannot be used ({reason}): they are computed "
                        f"again",
                        file=sys.stderr,
                    )
            features = np.ascontiguousarray(compute(), dtype=np.float32)
            _write(file, key, features)
            return features
    except OSError as error:
        raise InputError(
            f"the features of {name} cannot be kept in {file.parent} "
            f"({error.strerror or error}): free some space there, or name another folder in the "
            f"environment variable {CACHE_VARIABLE}"
        ) from error


def _write(file: Path, key, features):
    write_checked(file, lambda stream: np.savez(stream, features=features, key=np.array(key)))


def _read(file: Path, key, shape):
    with open_checked(file) as stream, np.load(stream, allow_pickle=False) as content:
        features, found = content["features"], str(content["key"])
    if features.shape != shape or features.dtype != np.float32:
        raise ValueError(f"expected {shape} float32, found {features.shape} {features.dtype}")
    if found != key:
        raise ValueError("they are those of other images or another trunk")
    return features
