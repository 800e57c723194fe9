"""Files of arrays that anyone may have written: read without running code, and within limits."""

import os
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from .unpacked_size import check_ratio, check_unpacked_size


def read_arrays(path: Path, names: Collection[str] | None = None) -> Any:
    """Return what a file of arrays holds.

    Args:
        path: an ``.npz``; anything else is read as torch's format, with ``weights_only``.
        names: of the arrays of an ``.npz`` to read, where they are there. Default: all.

    Returns:
        A dictionary of arrays by name for an ``.npz``, else whatever plain data and tensors
        ``torch.save`` was given.

    Raises:
        UNREADABLE: of :mod:`~pml_hyperbolic.file_kinds`, whose ``why_unreadable`` explains it.
    """
    with path.open("rb") as file:
        if path.suffix != ".npz":
            return read_tensors(file)
        check_unpacked_size(file)
        with np.load(file, allow_pickle=False) as archive:
            wanted = archive.files if names is None else set(names).intersection(archive.files)
            return {name: archive[name] for name in wanted}


def read_tensors(file: BinaryIO, device: str | None = "cpu") -> Any:
    """Return the plain data and tensors that ``torch.save`` wrote into a file.

    Args:
        file: open for reading.
        device: to put tensors on; None for those that they were on. Default: the CPU.

    Raises:
        UNREADABLE: as :func:`read_arrays`.
    """
    check_unpacked_size(file)
    with warnings.catch_warnings():
        # torch warns of foreign pickles, which it then refuses.
        warnings.simplefilter("ignore")
        content = torch.load(file, map_location=device, weights_only=True)
    # A tensor may repeat one number of the file as often as its shape says.
    check_ratio(sum(tensor.nbytes for tensor in _tensors(content)), file.seek(0, os.SEEK_END))
    return content


def _tensors(content) -> Iterator[torch.Tensor]:
    if torch.is_tensor(content):
        yield content
    elif isinstance(content, Mapping):
        yield from _tensors(list(content.values()))
    elif isinstance(content, (list, tuple)):
        for part in content:
            yield from _tensors(part)
