"""Files of named arrays that are whole or absent, and read without running anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...files import write_atomically


def write_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], *, survives_power_cut: bool = True
) -> None:
    """Write arrays as an uncompressed ``.npz`` atomically; equal arrays give equal bytes.

    Args:
        path: of the file.
        arrays: by name.
        survives_power_cut: as for :func:`~pml_hyperbolic.files.write_atomically`.
    """

    content: dict[str, Any] = dict(arrays)

    def write(part):
        # Given a path, NumPy would append a suffix to it.
        with part.open("wb") as file:
            np.savez(file, **content)

    write_atomically(path, write, survives_power_cut=survives_power_cut)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an ``.npz``; pickled objects are refused.

    Raises:
        Exception: of any kind, for a damaged file.
    """
    # Given a path, np.load would leave a damaged file open.
    with path.open("rb") as stream, np.load(stream) as archive:
        return {name: archive[name] for name in archive.files}
