"""ImageIndex: embeddings of images, their places and the model they come from, in one file."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError, message_of
from ..files import write_atomically
from .embedder import Embedder
from .space_layout import SpaceLayout

_FORMAT = "pml_hyperbolic.ImageIndex"
_VERSION = 1


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """Images to find, by their embeddings; the search is exact.

    Args:
        embeddings: (N, D) float32 on the CPU, all spaces.
        names: N names of the images, mostly paths.
        labels: N classes, None where one is not known.
        places: N pairs (root, path below it) of image files, None for others.
        layout: the spaces of the embeddings.
        fingerprint: of the model, :meth:`Embedder.fingerprint`.
        model: where the model is: a folder or a name on the hub.
    """

    embeddings: torch.Tensor
    names: Sequence[str]
    labels: Sequence[str | None]
    places: Sequence[tuple[str, str] | None]
    layout: SpaceLayout
    fingerprint: str
    model: str
    _searches: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def build(
        cls,
        embedder: Embedder,
        images: Any,
        *,
        model: str = "",
        note: Callable[[str], object] | None = None,
        **options: Any,
    ) -> "ImageIndex":
        """Embed images and index them.

        Args:
            embedder: the model.
            images: as :meth:`Embedder.embed`.
            model: where the model is, for whoever searches later. Default: not recorded.
            note: as :meth:`Embedder.samples`.
            options: as :meth:`Embedder.embed`, except ``space``: all spaces are kept.

        Raises:
            InputError: as :meth:`Embedder.embed`.
        """
        samples = embedder.samples(images, note=note)
        return cls(
            embedder.embed_samples(samples, **options),
            [sample.name for sample in samples],
            [sample.label for sample in samples],
            [sample.place for sample in samples],
            embedder.description.layout,
            embedder.fingerprint(),
            model,
        )

    def search(
        self, queries: torch.Tensor, k: int = 10, *, space: str | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the k nearest images of each query.

        Args:
            queries: (Q, D) embeddings with all spaces, by the same model.
            k: how many, >= 1; at most as many as there are images.
            space: to search. Default: the hyperbolic one where there is one.

        Returns:
            (Q, k) geodesic or cosine distances, nearest first, and (Q, k) indices of images.

        Raises:
            InputError: there is no such space.
            ValueError: queries of another shape, or ``k`` out of range.
        """
        space = self.layout.named(space or self.layout.primary)
        if queries.ndim != 2 or queries.shape[1] != self.layout.dimension:
            raise ValueError(
                f"queries must be (Q, {self.layout.dimension}), got {tuple(queries.shape)}"
            )
        if space not in self._searches:
            search = self.layout.knn(space, reset_before=False, reset_after=False)
            search.train(self.layout.columns(self.embeddings, space))
            self._searches[space] = search
        return self._searches[space](self.layout.columns(queries, space), k)

    def check_model(self, embedder: Embedder) -> None:
        """Refuse a model whose embeddings are not those of this index.

        Raises:
            InputError: it is another model.
        """
        if embedder.fingerprint() != self.fingerprint:
            raise InputError(
                f"the index was made with another model ({self.model or 'not recorded'}): search "
                f"it with that one, or make the index again"
            )

    def save(self, path: str | Path) -> None:
        """Write the index into one file in the format of safetensors, with a checksum."""
        from safetensors.torch import save_file

        content = {
            "names": list(self.names),
            "labels": list(self.labels),
            "places": [None if place is None else list(place) for place in self.places],
            "spaces": dict(self.layout.sizes),
            "geometry": self.layout.geometry,
            "fingerprint": self.fingerprint,
            "model": self.model,
        }
        # A header of safetensors has a limit that the paths of many images would exceed.
        text = np.frombuffer(json.dumps(content).encode(), dtype=np.uint8).copy()
        tensors = {
            "embeddings": self.embeddings.float().cpu().contiguous().clone(),
            "content": torch.from_numpy(text),
        }
        # Several entries of a header would be in any order: equal indexes give equal files.
        header = {_FORMAT: json.dumps({"version": _VERSION, "sha256": _checksum(tensors)})}
        path = Path(path).expanduser()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda part: save_file(tensors, part, metadata=header))
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | Path) -> "ImageIndex":
        """Read an index that :meth:`save` wrote.

        Raises:
            InputError: the file is missing, damaged or something else.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path).expanduser()
        if not path.is_file():
            raise InputError(f"{path} is missing: make an index with `pml-hyperbolic index`")
        try:
            with safe_open(path, framework="pt") as file:
                header = (file.metadata() or {}).get(_FORMAT)
                if header is None:
                    raise InputError(
                        f"{path} is not an index of images: make one with `pml-hyperbolic index`"
                    )
                header = json.loads(header)
                if header["version"] != _VERSION:
                    raise InputError(
                        f"{path} has version {header['version']}, this version of pml_hyperbolic "
                        f"reads {_VERSION}: make the index again"
                    )
                checksum = header["sha256"]
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except InputError:
            raise
        # A damaged header may hold anything.
        except (
            SafetensorError,
            LookupError,
            OSError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(
                f"{path} is not an index of images or is damaged ({reason}): make the index again"
            ) from error
        if _checksum(tensors) != checksum:
            raise InputError(f"{path} does not have the checksum it records: make the index again")
        # Whoever makes a file can make its checksum as well.
        try:
            return cls._checked(
                tensors["embeddings"], json.loads(bytes(tensors["content"].numpy()))
            )
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            reason = kind + message_of(error)
            raise InputError(
                f"{path} does not hold what an index holds ({reason:.200}): make the index again"
            ) from error

    @classmethod
    def _checked(cls, embeddings: torch.Tensor, content: Mapping[str, Any]) -> "ImageIndex":
        """Build the index of a file, of which every part may be anything."""
        layout = SpaceLayout(content["spaces"], content["geometry"])
        places = [None if place is None else tuple(place) for place in content["places"]]
        index = cls(
            embeddings,
            content["names"],
            content["labels"],
            places,
            layout,
            content["fingerprint"],
            content["model"],
        )
        columns = (len(index.embeddings), layout.dimension)
        if embeddings.dtype != torch.float32 or tuple(embeddings.shape) != columns:
            raise ValueError(
                f"embeddings are {embeddings.dtype} of shape {tuple(embeddings.shape)}, expected "
                f"float32 of {layout.dimension} columns"
            )
        if not len(embeddings) or not torch.isfinite(embeddings).all():
            raise ValueError("embeddings must be at least one, and finite")
        texts = [index.fingerprint, index.model, *index.names]
        texts += [label for label in index.labels if label is not None]
        texts += [part for place in places if place is not None for part in place]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("a name, label, place, fingerprint or model is no text")
        sizes = {len(index.names), len(index.labels), len(places), len(embeddings)}
        if len(sizes) > 1 or any(place is not None and len(place) != 2 for place in places):
            raise ValueError("embeddings, names, labels and places do not belong together")
        return index


def _checksum(tensors):
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
