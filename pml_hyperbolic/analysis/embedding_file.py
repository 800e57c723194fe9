"""EmbeddingFile: embeddings, labels and proxies from a file that anything may have written."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..array_files import read_arrays
from ..distances import PoincareDistance
from ..errors import InputError
from ..file_kinds import UNREADABLE, why_unreadable
from .geometry import checked_embeddings, checked_labels, mapped_points

_ARRAYS = ("embeddings", "labels", "proxies", "superclasses", "class_names", "paths")
_GEOMETRY = ("c", "clip_radius", "clip", "inputs")  # which an argument can give too
_KINDS = {".npz": "arrays", ".pt": "tensors"}
_EXPECTED = (
    "expected embeddings (N, D) of floats, as numpy.savez('NAME.npz', embeddings=..., labels=...) "
    "or torch.save({'embeddings': ..., 'labels': ...}, 'NAME.pt') writes them"
)


@dataclass(frozen=True)
class EmbeddingFile:
    """What a file of embeddings holds, checked.

    Args:
        embeddings: (N, D) raw embeddings, as ``distance`` takes them.
        labels: (N,) classes, or None where the file has none.
        proxies: (P, D) proxies in the same space, or None.
        superclasses: (N,) superclasses of the samples, or None.
        class_names: the name of each label, by its number; empty where the file has none.
        paths: where each sample's image lies; empty where the file has none.
        distance: the geometry, or None for embeddings that are compared by cosine.
    """

    embeddings: torch.Tensor
    labels: np.ndarray | None
    proxies: torch.Tensor | None
    superclasses: np.ndarray | None
    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    distance: PoincareDistance | None


def read_embeddings(
    path: str | Path,
    *,
    proxies: str | Path | None = None,
    c: float | None = None,
    clip_radius: float | None = None,
    inputs: str | None = None,
    clip: str | None = None,
) -> EmbeddingFile:
    """Read a file of embeddings.

    ``.npz`` and ``.pt`` files hold arrays (tensors) by name: ``embeddings`` (N, D), and where
    there are any ``labels`` (N,), ``proxies`` (P, D), ``superclasses`` (N,), ``class_names`` (C,),
    ``paths`` (N,), and the geometry ``c``, ``clip_radius``, ``clip`` and ``inputs``. A ``.pt``
    file may also hold a pair (embeddings, labels), as the files that HIER's authors published.
    Nothing in a file is executed: numpy reads it without pickle, torch with ``weights_only=True``.

    Args:
        path: the file.
        proxies: a second file whose embeddings are the proxies of the first, as HIER's authors
            published them.
        c: curvature magnitude, > 0, where the file does not say it. With neither, the embeddings
            are Euclidean and compared by cosine.
        clip_radius: of the geometry, where the file does not say it: math.inf for none. Default:
            PoincareDistance's own for tangent vectors, none for points on the ball (where it only
            marks the largest radius).
        inputs: "tangent" or "ball", where the file does not say it. Default "tangent".
        clip: "hard" or "smooth", where the file does not say it. Default "hard".

    Raises:
        InputError: the file is missing, unreadable or of another kind; something in it has a wrong
            shape, type or value, or contradicts an argument.
    """
    path = Path(path)
    content = _read(path)
    embeddings = _checked(path, checked_embeddings, "embeddings", content.get("embeddings"))
    size = embeddings.shape[1]
    if proxies is not None:
        if "proxies" in content:
            raise InputError(f"{path} has proxies of its own: leave out {proxies}")
        content["proxies"] = _read(Path(proxies))["embeddings"]
    found: dict[str, Any] = dict.fromkeys(("labels", "superclasses", "proxies"))
    for name in ("labels", "superclasses"):
        if name in content:
            found[name] = _checked(path, checked_labels, name, content[name], len(embeddings))
    if "proxies" in content:
        found["proxies"] = _checked(path, checked_embeddings, "proxies", content["proxies"], size)
    distance = _geometry(
        path, content, {"c": c, "clip_radius": clip_radius, "clip": clip, "inputs": inputs}
    )
    for name, rows in (("embeddings", embeddings), ("proxies", found["proxies"])):
        if rows is not None and distance is not None:
            _checked(path, lambda n, r: mapped_points(r, distance, name=n), name, rows)
    names, paths = (_texts(path, content, name) for name in ("class_names", "paths"))
    if paths and len(paths) != len(embeddings):
        raise InputError(
            f"{path}: {len(paths)} paths for {len(embeddings)} embeddings: save one path for each, "
            f"or leave paths out"
        )
    labels = found["labels"]
    if names and labels is not None and (labels.min() < 0 or labels.max() >= len(names)):
        raise InputError(
            f"{path}: labels from {labels.min()} to {labels.max()} for {len(names)} class names, "
            f"expected 0 to {len(names) - 1}: save one name for each label, or leave class_names "
            f"out"
        )
    return EmbeddingFile(embeddings, class_names=names, paths=paths, distance=distance, **found)


def _read(path):
    """The named arrays of a file, ``embeddings`` among them."""
    if not path.is_file():
        raise InputError(f"there is no file {path}: {_EXPECTED}")
    if path.suffix not in _KINDS:
        raise InputError(f"{path} is neither .npz nor .pt: save embeddings as one of these")
    content = _named_arrays(path, _KINDS[path.suffix])
    unknown = sorted(set(content) - {*_ARRAYS, *_GEOMETRY})
    if "embeddings" not in content:
        held = f"it holds {', '.join(unknown)}" if unknown else "it holds nothing else"
        raise InputError(f"{path} has no array named 'embeddings' ({held}): {_EXPECTED}")
    return content


def _named_arrays(path, kind):
    """What a file holds, by name."""
    try:
        content = read_arrays(path)
    except UNREADABLE as error:
        raise InputError(
            f"{path} cannot be read as {path.suffix} of plain {kind} "
            f"({why_unreadable(path, error)}): {_EXPECTED}"
        ) from None
    if isinstance(content, (tuple, list)) and len(content) == 2:
        content = dict(zip(("embeddings", "labels"), content, strict=True))
    if not isinstance(content, Mapping):
        raise InputError(
            f"{path} holds a {type(content).__name__}: {_EXPECTED}, or a pair (embeddings, labels)"
        )
    return {str(name): value for name, value in content.items()}


def _checked(path, check, name, value, *arguments):
    """``check`` of one array, its message preceded by the file."""
    try:
        return check(name, value, *arguments)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (TypeError, ValueError, RuntimeError):
        kind = _in_words(value)
        raise InputError(
            f"{path}: {name} must be an array of numbers, got {kind}: save the file again"
        ) from None


def _geometry(path, content, given):
    said = {}
    for name in _GEOMETRY:
        value = content.get(name)
        if value is not None:
            value = np.asarray(value)
            if value.size != 1:
                raise InputError(
                    f"{path}: {name} must be one value, got shape {value.shape}: save it as one "
                    f"number or word"
                )
            value = value.item()
        if None not in (value, given[name]) and value != given[name]:
            raise InputError(
                f"{path} says {name} = {value!r}, got {name} = {given[name]!r}: leave yours out"
            )
        said[name] = given[name] if value is None else value
    if said["c"] is None:
        named = [name for name in ("clip_radius", "clip", "inputs") if said[name] is not None]
        if named:
            raise InputError(f"{path}: {' and '.join(named)} given without c: add the curvature c")
        return None
    inputs = said["inputs"] or "tangent"
    arguments = {"c": said["c"], "inputs": inputs}
    radius = said["clip_radius"]
    if radius is not None or inputs == "ball":
        arguments["clip_radius"] = None if radius == math.inf else radius
    if said["clip"] is not None:
        arguments["clip"] = said["clip"]
    try:
        return PoincareDistance(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}: save the file with another geometry") from None


def _texts(path, content, name):
    value = content.get(name)
    if value is None:
        return ()
    texts = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise InputError(
            f"{path}: {name} must be a list of texts, got {_in_words(value)}: save them as "
            f"text, or leave {name} out"
        )
    return tuple(texts)


def _in_words(value):
    return f"{value.dtype} array" if isinstance(value, np.ndarray) else type(value).__name__
