"""DecodedImages: every image of a data set, decoded once."""

import hashlib
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import tqdm

from ..errors import InputError
from ..files import content_hash
from .resizing import resize_short_side

if TYPE_CHECKING:
    from ..benchmark.datasets.image_data import ImageData

CACHE_VARIABLE = "PML_HYPERBOLIC_CACHE"
# Up to so many bytes, decoding again is as fast as looking for a file.
IN_MEMORY = 2**24
# To be raised when the files or the way to their content change.
_FORMAT = 1
_PIXELS_FILE = "pixels.bin"
_SIZES_FILE = "sizes.npy"
# Images decoded at a time, before they are written.
_CHUNK = 256


class DecodedImages:
    """All images of a data set as bytes one after the other, in memory or mapped from a file.

    Args:
        pixels: (total,) uint8, of all images.
        sizes: (N, 3) int64 channels, height and width of each.
    """

    def __init__(self, pixels: np.ndarray, sizes: np.ndarray):
        self.pixels = pixels
        self.sizes = sizes
        self.offsets = np.concatenate([[0], sizes.prod(1).cumsum()])

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def channels(self) -> int:
        """Of every image."""
        return int(self.sizes[0, 0])

    def image(self, index: int) -> np.ndarray:
        """(channels, height, width) uint8, not to be written to."""
        part = self.pixels[self.offsets[index] : self.offsets[index + 1]]
        return part.reshape(self.sizes[index])

    def check_one_size(self) -> None:
        """Refuse images of several sizes, which make no batch as they are.

        Raises:
            InputError: saying how to mend it.
        """
        if (self.sizes != self.sizes[0]).any():
            (_, low, narrow), (_, high, wide) = self.sizes.min(0), self.sizes.max(0)
            raise InputError(
                f"images are of several sizes, {low} to {high} high and {narrow} to {wide} wide: "
                f"set protocol.image.size to bring them to one"
            )

    def batch(
        self, indices: np.ndarray, device: torch.device | str = "cpu"
    ) -> torch.Tensor | list[torch.Tensor]:
        """Images of these indices (B,) on a device, sent there at once and without waiting.

        Returns:
            (B, channels, height, width) uint8 where they are of one size, else a list of (channels,
            height, width) ones.
        """
        device, sizes = torch.device(device), self.sizes[indices]
        lengths = sizes.prod(1)
        buffer = torch.empty(
            int(lengths.sum()), dtype=torch.uint8, pin_memory=device.type == "cuda"
        )
        np.concatenate(
            [self.pixels[self.offsets[i] : self.offsets[i + 1]] for i in indices],
            out=buffer.numpy(),
        )
        buffer = buffer.to(device, non_blocking=True)
        if (sizes == sizes[0]).all():
            return buffer.view(len(indices), *sizes[0].tolist())
        return [
            part.view(size)
            for part, size in zip(buffer.split(lengths.tolist()), sizes.tolist(), strict=True)
        ]


def decode_images(
    data: "ImageData",
    spec: Mapping[str, Mapping[str, Any]],
    *,
    short_side: int | None = None,
    interpolation: str = "bilinear",
) -> DecodedImages:
    """Decode a data set, or find it decoded in the cache folder; a small one stays in memory.

    The folder is that of the environment variable PML_HYPERBOLIC_CACHE, else ``pml_hyperbolic`` in
    XDG_CACHE_HOME, else ~/.cache/pml_hyperbolic. Whatever decides on the content (arguments of the
    data set, its source files' sizes and times, its labels, the size of the images, the versions of
    the libraries) is in the name, so that a changed data set is decoded again. One process
    decodes, in threads; others that want the same wait for it.

    Args:
        data: the data set; its ``image`` is called from several threads.
        spec: the name and arguments that ``data`` was made from.
        short_side: larger images are reduced to it, with antialiasing; smaller ones stay as they
            are. Default: no limit.
        interpolation: of that reduction, "bilinear" (default) or "bicubic".

    Raises:
        InputError: an image cannot be decoded, or the folder cannot be written to.
    """
    (name,) = spec

    def decode(indices: Sequence[int]) -> Iterator[np.ndarray]:
        return _decode(data, indices, name, short_side, interpolation)

    everything = range(len(data.labels))
    (first,) = decode([0])
    if first.nbytes * len(everything) <= IN_MEMORY:
        images = list(decode(everything))
        return DecodedImages(
            np.concatenate([image.reshape(-1) for image in images]),
            np.array([image.shape for image in images], dtype=np.int64),
        )
    key = content_hash(
        {
            "format": _FORMAT,
            "versions": [importlib.metadata.version(p) for p in ("torch", "torchvision", "pillow")],
            "spec": {key: dict(value) for key, value in spec.items()},
            "sources": [source_stamp(source) for source in _sources(spec[name])],
            "labels": hashlib.sha256(np.ascontiguousarray(data.labels)).hexdigest(),
            "short_side": short_side,
            "interpolation": interpolation,
        }
    )
    target = cache_folder() / f"{name}-{key}"
    try:
        if not target.is_dir():
            _build(target, lambda: decode(everything))
        return _open(target)
    except OSError as error:
        raise InputError(
            f"the decoded images of {name} cannot be kept in {target.parent} "
            f"({error.strerror or error}{_free_space(target.parent)}): free some space there, or "
            f"name another folder by the environment variable {CACHE_VARIABLE}"
        ) from error


def cache_folder() -> Path:
    """Where decoded images are kept; it may not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pml_hyperbolic"


def source_stamp(source: Path) -> str:
    """What tells a changed file or folder from the same one: paths, sizes and times.

    Hidden files do not count: locks and the like come and go.
    """
    if source.is_file():
        files = [source]
    else:
        files = sorted(
            Path(folder, name)
            for folder, _, names in os.walk(source, followlinks=True)
            for name in names
            if not name.startswith(".")
        )
    digest = hashlib.sha256()
    for file in files:
        # A link to nothing is noticed by who reads it.
        status = os.stat(file, follow_symlinks=file.exists())
        digest.update(f"{file.absolute()}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _sources(arguments):
    """The arguments that are files or folders."""
    paths = [Path(v).expanduser() for _, v in sorted(arguments.items()) if isinstance(v, str)]
    return [path for path in paths if path.exists()]


def _decode(data, indices, name, short_side, interpolation):
    """Decode these images in order, with threads, a chunk at a time."""

    def one(index):
        try:
            image = data.image(index)
            if image.dtype != np.uint8 or image.ndim != 3:
                raise ValueError(
                    f"expected (channels, height, width) uint8, got {image.shape} {image.dtype}"
                )
            return _reduced(image, short_side, interpolation)
        # Adapters and Pillow raise what they like.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{name}: image {index} cannot be decoded: {reason}") from error

    channels = None
    with (
        ThreadPoolExecutor(_cores()) as pool,
        # Only where someone watches, and only if it takes a while.
        tqdm.tqdm(total=len(indices), desc=f"decoding {name}", disable=None, delay=2) as bar,
    ):
        for start in range(0, len(indices), _CHUNK):
            part = indices[start : start + _CHUNK]
            for index, image in zip(part, pool.map(one, part), strict=True):
                channels = channels or image.shape[0]
                if image.shape[0] != channels:
                    raise InputError(
                        f"{name}: image {index} has {image.shape[0]} channels, the first has "
                        f"{channels}: convert them to one number"
                    )
                yield image
                bar.update()


def _reduced(image, short_side, interpolation):
    if short_side is None or min(image.shape[1:]) <= short_side:
        return image
    # torch wants memory that it might write to.
    image = np.require(image, requirements=("C", "W"))
    return resize_short_side(torch.from_numpy(image), short_side, interpolation).numpy()


def _build(target, decode):
    """Decode into a folder of this process's own, then put that into its place in one step."""
    import filelock

    target.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(target.with_name(f"{target.name}.lock")):
        if target.is_dir():
            return
        for abandoned in target.parent.glob(f"{target.name}.part-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f"{target.name}.part-", dir=target.parent))
        try:
            sizes = []
            with open(part / _PIXELS_FILE, "wb") as file:
                for image in decode():
                    file.write(np.ascontiguousarray(image))
                    sizes.append(image.shape)
                file.flush()
                os.fsync(file.fileno())
            np.save(part / _SIZES_FILE, np.array(sizes, dtype=np.int64))
            try:
                os.rename(part, target)
            except OSError:
                # Where locks do not work, another process may have been first.
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _open(folder):
    sizes = np.load(folder / _SIZES_FILE)
    return DecodedImages(np.memmap(folder / _PIXELS_FILE, dtype=np.uint8, mode="r"), sizes)


def _free_space(folder):
    try:
        return f", {shutil.disk_usage(folder).free / 2**30:.1f} GiB free"
    except OSError:
        return ""


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
