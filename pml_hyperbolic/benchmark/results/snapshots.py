"""Snapshots: embeddings of a fixed sample of images, and proxies, at a few epochs of a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from ...errors import InputError, message_of
from ...files import is_storage_failure
from .array_file import read_arrays, write_arrays
from .radii_by_epoch import RadiiByEpoch
from .run_files import RADII_FILE, SNAPSHOTS_FILE

SPLITS = ("train", "test")
_Content = TypeVar("_Content")


@dataclass(frozen=True)
class Snapshots:
    """What figures show of a run's training: the same images and proxies at E epochs.

    The images are the same for all methods and seeds of a fold, in the same order.

    Attributes:
        epochs: the E epochs, ascending: the first scored one, the last, the selected one, and
            some between them at distances that double.
        selected: the one of them whose checkpoint was scored on the test classes.
        indices: "train" and "test" -> (n,) positions of the images in the data set.
        labels: "train" and "test" -> (n, L), the finest level first, as in the run: training
            classes are numbered from 0.
        embeddings: "train" and "test" -> (E, n, D) float16, with the columns of all spaces as in
            ``test_embeddings.npy``. They are raw, that is, not clipped or normalised.
        proxies: name -> (E, P, D of its space) float16, raw: ``proxies`` of the loss,
            ``hierarchical`` of HIER, ``chest/euclidean`` and ``chest/hyperbolic`` of CHEST. Where
            a loss has more than fit, those of the classes in the sample come first.
        proxy_space: name -> the space that the proxies lie in.
        proxy_labels: name -> (P,) training class of each proxy, None for hierarchical proxies.
    """

    epochs: tuple[int, ...]
    selected: int
    indices: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    embeddings: dict[str, np.ndarray]
    proxies: dict[str, np.ndarray]
    proxy_space: dict[str, str]
    proxy_labels: dict[str, np.ndarray | None]


def read_snapshots(folder: Path) -> Snapshots:
    """Return the snapshots of a run.

    Args:
        folder: of the run.

    Raises:
        InputError: the run kept none, or the file is damaged.
    """
    return _read(
        folder,
        SNAPSHOTS_FILE,
        "it was made before snapshots were kept or with keep_snapshots: false",
        _snapshots,
    )


def write_snapshots(folder: Path, snapshots: Snapshots) -> None:
    """Write the snapshots of a run into its folder, atomically."""
    arrays = {"epochs": np.array(snapshots.epochs), "selected": np.array(snapshots.selected)}
    for split in SPLITS:
        arrays[f"{split}/indices"] = snapshots.indices[split]
        arrays[f"{split}/labels"] = snapshots.labels[split]
        arrays[f"{split}/embeddings"] = snapshots.embeddings[split]
    for name, proxies in snapshots.proxies.items():
        arrays[f"proxies/{name}"] = proxies
        arrays[f"proxy_space/{name}"] = np.array(snapshots.proxy_space[name])
        labels = snapshots.proxy_labels[name]
        if labels is not None:
            arrays[f"proxy_labels/{name}"] = labels
    write_arrays(folder / SNAPSHOTS_FILE, arrays)


def radii_histograms(folder: Path) -> RadiiByEpoch:
    """Return the histograms of the radii of a run's hyperbolic embeddings, epoch by epoch.

    Args:
        folder: of the run.

    Raises:
        InputError: the run kept none, or the file is damaged.
    """
    return _read(folder, RADII_FILE, "it was made before histograms of radii were kept", _radii)


def write_radii(folder: Path, radii: RadiiByEpoch) -> None:
    """Write the histograms of a run into its folder, atomically."""
    arrays = {"epochs": np.array(radii.epochs, np.int64)}
    for space, counts in radii.counts.items():
        arrays[f"counts/{space}"] = counts
        arrays[f"edges/{space}"] = radii.edges[space]
        arrays[f"saturation/{space}"] = radii.saturation[space]
    write_arrays(folder / RADII_FILE, arrays)


def _read(
    folder: Path,
    name: str,
    absent: str,
    content: Callable[[dict[str, np.ndarray]], _Content],
) -> _Content:
    file = folder / name
    if not file.is_file():
        raise InputError(f"{folder} has no {name}: {absent}: run it again")
    try:
        return content(read_arrays(file))
    # zipfile and NumPy raise what they like for damaged files.
    except Exception as error:
        if is_storage_failure(error):
            raise
        reason = message_of(error)
        raise InputError(
            f"{file} cannot be read ({reason}): remove {folder} and run it again"
        ) from error


def _snapshots(arrays: dict[str, np.ndarray]) -> Snapshots:
    proxies = _section(arrays, "proxies")
    found = Snapshots(
        epochs=tuple(arrays["epochs"].tolist()),
        selected=int(arrays["selected"]),
        indices={split: arrays[f"{split}/indices"] for split in SPLITS},
        labels={split: arrays[f"{split}/labels"] for split in SPLITS},
        embeddings={split: arrays[f"{split}/embeddings"] for split in SPLITS},
        proxies=proxies,
        proxy_space={name: str(arrays[f"proxy_space/{name}"]) for name in proxies},
        proxy_labels={name: arrays.get(f"proxy_labels/{name}") for name in proxies},
    )
    number = len(found.epochs)
    if found.selected not in found.epochs or list(found.epochs) != sorted(set(found.epochs)):
        raise ValueError(f"selected epoch {found.selected} of epochs {list(found.epochs)}")
    for split in SPLITS:
        rows = len(found.indices[split])
        _check(f"{split}/labels", found.labels[split], (rows, None))
        _check(f"{split}/embeddings", found.embeddings[split], (number, rows, None))
    for name, vectors in proxies.items():
        _check(f"proxies/{name}", vectors, (number, None, None))
        labels = found.proxy_labels[name]
        if labels is not None:
            _check(f"proxy_labels/{name}", labels, (vectors.shape[1],))
    return found


def _radii(arrays: dict[str, np.ndarray]) -> RadiiByEpoch:
    found = RadiiByEpoch(
        epochs=tuple(arrays["epochs"].tolist()),
        edges=_section(arrays, "edges"),
        counts=_section(arrays, "counts"),
        saturation=_section(arrays, "saturation"),
    )
    for space, edges in found.edges.items():
        _check(f"counts/{space}", found.counts[space], (len(found.epochs), len(edges) - 1))
        _check(f"saturation/{space}", found.saturation[space], (len(found.epochs),))
    return found


def _section(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    start = f"{name}/"
    return {
        key.removeprefix(start): value for key, value in arrays.items() if key.startswith(start)
    }


def _check(name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> None:
    if array.ndim != len(shape) or any(
        expected not in (None, size) for size, expected in zip(array.shape, shape, strict=True)
    ):
        raise ValueError(f"{name} has shape {array.shape}")
