"""Files of named arrays that are whole or absent, and read without running anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...checked_files import open_checked, write_checked


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an uncompressed, checked ``.npz``; equal arrays give equal bytes."""
    content: dict[str, Any] = dict(arrays)
    write_checked(path, lambda file: np.savez(file, **content))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an ``.npz``; pickled objects are refused.

    Raises:
        Exception: of any kind, for a damaged file.
    """
    with open_checked(path) as stream, np.load(stream) as archive:
        return {name: archive[name] for name in archive.files}
