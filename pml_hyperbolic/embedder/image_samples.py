"""From images in any form to samples."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..images.image_archive import ImageArchive
from ..images.image_names import ImageNames
from .sample import Sample


def image_samples(images: Any, note: Callable[[str], object] | None = None) -> list[Sample]:
    """List every image that ``images`` names or holds, in order; a folder is sorted by path.

    Args:
        images: a path of an image, of a folder or of a zip; a PIL image; an array (H, W) or
            (H, W, C) uint8, or (N, H, W, C) of them; a tensor (C, H, W), uint8 or float in [0, 1],
            or (N, C, H, W) of them; or an iterable of any of these.
        note: called with each sentence on what was passed over in a folder or a zip. Default:
            nothing is said.

    Raises:
        InputError: something else, a path that is not there, or no image at all.
    """
    samples = list(_samples(images, "image", note))
    if not samples:
        raise InputError("there are no images: give at least one")
    return samples


def _samples(images, name, note) -> Iterator[Sample]:
    if isinstance(images, (str, os.PathLike)):
        yield from _stored(Path(images), note)
    elif isinstance(images, (np.ndarray, torch.Tensor)):
        if images.ndim == 4:
            for number, one in enumerate(images):
                yield _given(one, f"{name} {number}")
        else:
            yield _given(images, name)
    elif hasattr(images, "getbands"):
        yield Sample(name, lambda preprocessing: preprocessing.from_pil(images, name))
    elif isinstance(images, Iterable) and not isinstance(images, (bytes, dict)):
        for number, one in enumerate(images):
            yield from _samples(one, f"{name} {number}", note)
    else:
        raise InputError(
            f"{name} is a {type(images).__name__}: expected a path, a PIL image, an array, a "
            f"tensor or a list of these"
        )


def _given(pixels, name):
    if torch.is_tensor(pixels):
        return Sample(name, lambda preprocessing: preprocessing.from_tensor(pixels, name))
    return Sample(name, lambda preprocessing: preprocessing.from_array(pixels, name))


def _stored(path, note):
    path = path.expanduser()
    if path.is_dir() or path.suffix.lower() == ".zip":
        archive = ImageArchive(path)
        names, passed_over = ImageNames.of(archive)
        for sentence in passed_over if note is not None else ():
            note(sentence)
        for name, label in zip(names, _labels(names), strict=True):
            yield _in_archive(archive, name, str(path / name), label)
    elif path.is_file():
        yield _in_archive(ImageArchive(path.parent), path.name, str(path), None)
    else:
        raise InputError(f"{path} is missing: give an image, or a folder or zip of images")


def _labels(names):
    """Name the folders of each image, or None, without those that hold every class."""
    folders = [name.split("/")[:-1] for name in names]
    # The class itself stays, even if it is the only one.
    parents = zip(*(folder[:-1] for folder in folders), strict=False)
    common = len(list(takewhile(lambda level: len(set(level)) == 1, parents)))
    return ["/".join(folder[common:]) or None for folder in folders]


def _in_archive(archive, name, shown, label):
    return Sample(
        shown,
        lambda preprocessing: preprocessing.read(archive.read(name), shown),
        label,
        (str(archive.path), name),
    )
