"""Files of named arrays that are whole or absent, and read without running anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...checked_files import open_checked, write_checked
from ...unpacked_size import check_unpacked_size


def write_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], *, survives_power_cut: bool = True
) -> None:
    """Write arrays as an uncompressed, checked ``.npz``; equal arrays give equal bytes.

    Args:
        path: of the file.
        arrays: by name.
        survives_power_cut: as for :func:`~pml_hyperbolic.files.atomic_file`.
    """
    content: dict[str, Any] = dict(arrays)
    write_checked(
        path, lambda file: np.savez(file, **content), survives_power_cut=survives_power_cut
    )


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an ``.npz``; pickled objects are refused.

    Raises:
        Exception: of any kind, for a damaged file.
    """
    with open_checked(path) as stream:
        check_unpacked_size(stream)
        archive = np.load(stream)
        return {name: archive[name] for name in archive.files}
