"""Embedding sets of runs, of their snapshots and of files."""

import errno
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...analysis import EmbeddingFile
from ...errors import InputError
from ...files import disk_failure
from ..config.yaml_files import read_mapping
from ..measuring.run_contents import distance_of, test_set
from ..results.finished_run import FinishedRun
from ..results.metric_names import PRIMARY
from ..results.run_files import CONFIG_FILE
from ..results.snapshots import Snapshots, read_snapshots
from .data_images import DataImages
from .embedding_set import EmbeddingSet
from .run_line import RunLine


def line_set(line: RunLine) -> EmbeddingSet:
    """Return the stored embeddings of all test images, with the proxies of the same epoch.

    Args:
        line: a run in one of its spaces.

    Raises:
        InputError: the files of the run are missing or damaged.
    """
    tests = test_set(line.run, line.space)
    try:
        snapshots = read_snapshots(line.run.folder)
        number = snapshots.epochs.index(snapshots.selected)
        proxies = _proxies(snapshots, line, number, "test")
    except InputError as error:
        proxies = {"no_proxies": str(error)}
    labels = tests.labels.numpy()
    return EmbeddingSet(
        line.title,
        tests.embeddings,
        labels,
        _levels(line, labels),
        distance_of(line.row),
        **_images(line.run, labels, tests.indices),
        **proxies,
        query=tests.query,
        gallery=tests.gallery,
        scores=line.run.query_scores(line.space, PRIMARY),
        epoch=line.row.epoch,
    )


def snapshot_sets(
    line: RunLine, split: str, epochs: Sequence[int] | None = None
) -> list[EmbeddingSet]:
    """Return what a run kept of its training: the same images at several epochs.

    Args:
        line: a run in one of its spaces.
        split: "train" or "test", whose images.
        epochs: to return, all if empty. Default: the selected one.

    Raises:
        InputError: the run kept no snapshots, or not of these epochs.
    """
    snapshots = read_snapshots(line.run.folder)
    epochs = [snapshots.selected] if epochs is None else epochs or snapshots.epochs
    missing = sorted(set(epochs) - set(snapshots.epochs))
    if missing:
        raise InputError(
            f"{line.run.folder} kept no snapshot of epoch {missing[0]}: it has epochs "
            f"{', '.join(map(str, snapshots.epochs))}"
        )
    labels, indices = snapshots.labels[split], snapshots.indices[split]
    images = _images(line.run, labels, indices)
    found = []
    for number, epoch in enumerate(snapshots.epochs):
        if epoch not in epochs:
            continue
        rows = snapshots.embeddings[split][number][:, line.columns].astype(np.float32)
        found.append(
            EmbeddingSet(
                line.title,
                torch.from_numpy(rows),
                labels,
                _levels(line, labels),
                distance_of(line.row),
                **images,
                **_proxies(snapshots, line, number, split),
                epoch=epoch,
            )
        )
    return found


def run_config(run: FinishedRun) -> dict[str, Any]:
    """Return the settings that a run was made with: protocol and method.

    Raises:
        InputError: its config.yaml is missing or cannot be read.
    """
    return read_mapping(run.folder / CONFIG_FILE)


def file_set(path: Path, content: EmbeddingFile) -> EmbeddingSet:
    """Return the embeddings of a file.

    Args:
        path: of the file, which its title is taken from.
        content: of the file.
    """
    count = len(content.embeddings)
    columns, levels, names = [], [], []
    if content.labels is not None:
        columns, levels = [content.labels], ["class"]
        names = [dict(enumerate(content.class_names))]
        if content.superclasses is not None:
            columns, levels = [*columns, content.superclasses], [*levels, "superclass"]
    known = {} if content.proxies is None else {"proxies": content.proxies}
    return EmbeddingSet(
        path.stem,
        content.embeddings,
        np.stack(columns, axis=1) if columns else np.zeros((count, 0), np.int64),
        tuple(levels),
        content.distance,
        names,
        functools.partial(_open, path, content.paths) if content.paths else None,
        "the file has no array 'paths' that says where they lie",
        proxies=known,
        proxy_labels=dict.fromkeys(known),
        proxy_distances=dict.fromkeys(known, content.distance),
        no_proxies=f"{path} holds no proxies: give them with --proxies FILE",
    )


def _open(file, paths, row):
    from PIL import Image

    path = Path(paths[row])
    path = path if path.is_file() else file.parent / path
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise InputError(f"{file}: the image {path} cannot be read ({error})") from None


def _levels(line, labels):
    names = line.row.levels or ["class"]
    return tuple(names[: labels.shape[1]])


def _proxies(snapshots: Snapshots, line: RunLine, number: int, split: str) -> dict[str, Any]:
    """Return the arguments of an EmbeddingSet that concern the proxies of one epoch."""
    own = [
        name
        for name, where in snapshots.proxy_space.items()
        # Proxies of training classes have no class among the test images.
        if where == line.space and (split == "train" or snapshots.proxy_labels[name] is None)
    ]
    distance = distance_of(line.row)
    # A loss of cosine similarities may well be used in a hyperbolic space, as HIER does.
    loss = (run_config(line.run).get("method") or {}).get("loss")
    curved = any(word in json.dumps(loss) for word in ("Poincare", "CHESTLoss"))
    return {
        "proxies": {
            name: torch.from_numpy(snapshots.proxies[name][number].astype(np.float32))
            for name in own
        },
        "proxy_labels": {name: snapshots.proxy_labels[name] for name in own},
        "proxy_distances": {
            name: distance if curved or snapshots.proxy_labels[name] is None else None
            for name in own
        },
        "no_proxies": f"{line.title} learns none of this kind in its {line.space} space",
    }


def _images(run: FinishedRun, labels, indices) -> dict[str, Any]:
    """Return the arguments of an EmbeddingSet that concern names and images."""
    try:
        protocol = run_config(run).get("protocol")
        images = _opened(json.dumps(protocol, sort_keys=True), run.first.data)
    # A damaged archive raises whatever its reader raises: figures without images are still drawn.
    except Exception as error:
        failure = disk_failure(error, "a file of the data set")
        # A full disk can only concern the cache of images.
        if failure is not None and failure.errno == errno.EIO:
            raise failure from error
        if isinstance(error, InputError):
            return {"no_image": str(error)}
        return {"no_image": f"the data set cannot be read ({type(error).__name__}: {error})"}
    return {
        "names": images.names_of(labels, indices),
        "image": lambda row: images(indices[row]),
    }


@functools.lru_cache(maxsize=4)
def _opened(protocol: str, fingerprint: str | None) -> DataImages:
    return DataImages({"protocol": json.loads(protocol)}, fingerprint)
