"""Decode all images of a data set once, and keep them in a cache folder."""

import errno
import hashlib
import importlib.metadata
import logging
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from ..checked_files import DamagedFile, checked_size, open_checked, write_checked
from ..errors import InputError, message_of
from ..files import content_hash, disk_failure, explain_os_error, named_file
from .decoded_images import DecodedImages
from .folder_listing import FolderListing
from .resizing import Interpolation, reduce_short_side

_LOG = logging.getLogger(__name__)
CACHE_VARIABLE = "PML_HYPERBOLIC_CACHE"
# Below this number of bytes, decoding again is as fast as looking for a file.
IN_MEMORY = 2**24
# Raise this number whenever the files, or the way from source to pixels, change.
_FORMAT = 1
_PIXELS_FILE = "pixels.bin"
_SIZES_FILE = "sizes.npy"
# A data set that turns out larger than its first image promised may still take so many times more.
_SURPRISE = 8
# Number of images for each core that are decoded before they are written; each may be large.
_AHEAD = 4
# What reading a damaged entry raises; a damaged header of NumPy may raise the others.
_DAMAGES = (DamagedFile, FileNotFoundError, ValueError, EOFError, SyntaxError)


def decode_images(
    read: Callable[[int], np.ndarray],
    count: int,
    *,
    name: str,
    identity: Mapping[str, Any],
    sources: Iterable[Path] = (),
    listings: Mapping[Path, Sequence[str]] | None = None,
    short_side: int | None = None,
    interpolation: Interpolation = "bilinear",
) -> DecodedImages:
    """Decode the images of a data set, or find them decoded in the cache folder.

    Small data sets stay in memory. The cache folder is the one named by the environment variable
    PML_HYPERBOLIC_CACHE, otherwise ``pml_hyperbolic`` in XDG_CACHE_HOME, otherwise
    ~/.cache/pml_hyperbolic. Everything that determines the pixels is part of an entry's name
    (``identity``, sizes and modification times of the source files, the size of the images,
    versions of the libraries), so that a changed data set is decoded again. Only one process
    decodes, in several threads; other processes that want the same images wait for it.

    Args:
        read: maps an index to an image, (channels, height, width) uint8; called from several
            threads.
        count: number of images, >= 1.
        name: of the data set, for messages and for the cache entry.
        identity: plain data (as JSON takes it) that tells these images from others that have the
            same sources.
        sources: files and folders that ``read`` reads from. Default: there are none.
        listings: the files below some of these folders, as paths relative to the folder, where
            they are known already; other folders are listed. Default: none is known.
        short_side: images with a larger short side are reduced to it, with antialiasing; smaller
            ones are not enlarged. In pixels. Default: no limit.
        interpolation: how to reduce them, "bilinear" (default) or "bicubic".

    Raises:
        InputError: there is no image, an image cannot be decoded, or the cache folder cannot be
            written to.
    """
    if count < 1:
        raise InputError(f"{name} has no images: expected at least 1")

    def decode(indices: Sequence[int]) -> Iterator[np.ndarray]:
        return _decode(read, indices, name, short_side, interpolation)

    everything = range(count)
    (first,) = decode([0])
    if first.nbytes * count <= IN_MEMORY:
        images = _within(decode(everything), _SURPRISE * IN_MEMORY)
        if images is not None:
            return DecodedImages(
                np.concatenate([image.reshape(-1) for image in images]),
                np.array([image.shape for image in images], dtype=np.int64),
            )
    listings = listings or {}
    key = content_hash(
        {
            # On one level with the rest, because earlier versions named their entries so.
            **identity,
            "format": _FORMAT,
            "versions": [importlib.metadata.version(p) for p in ("torch", "torchvision", "pillow")],
            "sources": [source_stamp(path, listings.get(path.absolute())) for path in sources],
            "short_side": short_side,
            "interpolation": interpolation,
        }
    )
    target = cache_folder() / f"{name}-{key}"
    try:
        if not target.is_dir():
            _build(target, lambda: decode(everything))
        try:
            return _open(target)
        except _DAMAGES as error:
            _LOG.warning(
                "the decoded images of %s in %s are damaged (%s): decoding them again",
                name,
                target,
                message_of(error),
            )
        _build(target, lambda: decode(everything), damaged=True)
        return _open(target)
    except OSError as error:
        raise InputError(
            f"the decoded images of {name} cannot be kept in {target.parent} "
            f"({error.strerror or error}{_free_space(target.parent)}): free some space there, or "
            f"name another folder in the environment variable {CACHE_VARIABLE}"
        ) from error


def cache_folder() -> Path:
    """Return the folder of decoded images, which may not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pml_hyperbolic"


def source_stamp(source: Path, listing: Sequence[str] | None = None) -> str:
    """Hash the paths, sizes and modification times of a file, or of all files in a folder.

    Hidden files are ignored, because lock files and the like come and go.

    Args:
        source: the file or folder.
        listing: paths of all files in the folder, relative to it. Default: it is listed.
    """
    if source.is_file():
        files = [source]
    elif listing is not None:
        files = [source / name for name in listing]
    else:
        files = [source / name for name in FolderListing.of(source).files]
    digest = hashlib.sha256()
    for file in sorted(files):
        if file.name.startswith(".") and file != source:
            continue
        try:
            status = os.stat(file)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            # Whoever reads a dangling link will notice.
            status = os.lstat(file)
        digest.update(f"{file.absolute()}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _within(images, limit):
    """Return all images, or None if they take more bytes than this."""
    found, size = [], 0
    for image in images:
        size += image.nbytes
        if size > limit:
            return None
        found.append(image)
    return found


def _decode(read, indices, name, short_side, interpolation):
    """Decode these images in order, a few ahead of those that are asked for, in several threads."""

    def one(index):
        try:
            image = read(index)
            if image.dtype != np.uint8 or image.ndim != 3:
                raise ValueError(
                    f"expected (channels, height, width) uint8, got {image.shape} {image.dtype}"
                )
            return reduce_short_side(image, short_side, interpolation)
        # Readers and Pillow raise exceptions of many kinds.
        except Exception as error:
            failure = disk_failure(error, f"a file of {name}")
            # Not as an OSError: the disk of the cache did not fail.
            reason = message_of(error) if failure is None else explain_os_error(failure)
            raise InputError(f"{name}: image {index} cannot be decoded: {reason}") from error

    channels = None
    with (
        ThreadPoolExecutor(_cores()) as pool,
        # The bar is shown on a terminal only, and only if decoding takes a while.
        tqdm.tqdm(total=len(indices), desc=f"decoding {name}", disable=None, delay=2) as bar,
    ):
        for index, image in zip(
            indices, _in_order(pool, one, indices, _AHEAD * _cores()), strict=True
        ):
            channels = channels or image.shape[0]
            if image.shape[0] != channels:
                raise InputError(
                    f"{name}: image {index} has {image.shape[0]} channels, the first has "
                    f"{channels}: convert all images to the same number of channels"
                )
            yield image
            bar.update()


def _in_order(pool, function, items, ahead):
    """Yield the function of each item; no more than ``ahead`` results wait at a time."""
    waiting: deque[Future] = deque()
    try:
        for item in items:
            if len(waiting) == ahead:
                yield waiting.popleft().result()
            waiting.append(pool.submit(function, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _build(target, decode, damaged=False):
    """Decode into a folder of this process's own, then rename that folder in one step.

    A damaged entry is removed first, unless another process has replaced it meanwhile.
    """
    import filelock

    target.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(target.with_name(f"{target.name}.lock")):
        if target.is_dir():
            if not (damaged and _is_damaged(target)):
                return
            shutil.rmtree(target)
        for abandoned in target.parent.glob(f"{target.name}.part-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f"{target.name}.part-", dir=target.parent))
        try:
            sizes = []

            def write_pixels(file):
                for image in decode():
                    file.write(np.ascontiguousarray(image).data)
                    sizes.append(image.shape)

            write_checked(part / _PIXELS_FILE, write_pixels)
            shapes = np.array(sizes, dtype=np.int64)
            write_checked(part / _SIZES_FILE, lambda file: np.save(file, shapes))
            try:
                os.rename(part, target)
            except OSError:
                # On file systems without locks, another process may have been first.
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _open(folder):
    with open_checked(folder / _SIZES_FILE) as file:
        sizes = np.load(file)
    with named_file(folder / _PIXELS_FILE), open(folder / _PIXELS_FILE, "rb") as file:
        length, expected = checked_size(file), int(sizes.prod(1).sum())
    if length != expected:
        raise ValueError(f"{_PIXELS_FILE} has {length} bytes instead of {expected}")
    pixels = np.memmap(folder / _PIXELS_FILE, dtype=np.uint8, mode="r", shape=(length,))
    return DecodedImages(pixels, sizes, key=folder.name)


def _is_damaged(folder):
    try:
        _open(folder)
    except _DAMAGES:
        return True
    return False


def _free_space(folder):
    try:
        return f", {shutil.disk_usage(folder).free / 2**30:.1f} GiB free"
    except OSError:
        return ""


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
