"""Embedder: a trained model with its preprocessing and its geometry."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tqdm
from pytorch_metric_learning.distances import BaseDistance

from ..backbones import add_weights, to_trunk_device
from ..errors import InputError, message_of
from ..files import content_hash
from ..functional.validation import check_count
from ..utils import CosineKNN, PoincareKNN
from .feature_samples import feature_samples
from .image_samples import image_samples
from .model_description import ModelDescription
from .pretrained_folder import find_pretrained, read_pretrained, write_pretrained
from .run_folder import read_run
from .sample import Sample, read_samples

_PRECISIONS = ("float32", "bfloat16")
# Number of batches that are read ahead of the model.
_AHEAD = 2


class Embedder(torch.nn.Module):
    """A trained model to use: images in, embeddings out, measured as they were trained to be.

    Made by :meth:`load` or :meth:`from_pretrained`, in evaluation mode. The embeddings equal those
    of the run bit for bit on the same machine and device, with the same number of torch's threads
    and with images in the same batches.

    Attributes:
        trunk, head: the network's two parts.
        description: all else that is known of the model, as plain data.
        preprocessing: from images to the trunk's input.
    """

    def __init__(
        self, trunk: torch.nn.Module, head: torch.nn.Module, description: ModelDescription
    ):
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.description = description
        self.preprocessing = description.preprocessing
        self.eval()

    @classmethod
    def load(cls, folder: str | Path, *, device: torch.device | str = "auto") -> "Embedder":
        """Load the model that a finished run selected.

        Args:
            folder: of the run, ``runs/<benchmark>/<method>/fold<i>_seed<j>``.
            device: to put it on. Default "auto": CUDA where there is a device, else the CPU.

        Raises:
            InputError: the folder is not that of a finished run, or one of its files is damaged
                or of another run; the message names it.
        """
        folder = Path(folder).expanduser()
        return cls._assembled(folder, *read_run(folder), device)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        device: torch.device | str = "auto",
    ) -> "Embedder":
        """Load a model that :meth:`save_pretrained` wrote; no pickle is read.

        Args:
            name: its folder, or its name ``owner/model`` on the Hugging Face hub.
            revision: branch, tag or commit on the hub. Default: its main branch.
            device: as :meth:`load`.

        Raises:
            InputError: there is no such model, or a part of it is missing, damaged or foreign; the
                message names it.
        """
        folder = find_pretrained(name, revision=revision)
        return cls._assembled(folder, *read_pretrained(folder), device)

    @classmethod
    def _assembled(cls, folder, description, weights, device):
        device = _chosen(device)
        try:
            # Before anything is built in a size that only a description names.
            _check_sizes(description.layout, weights)
            trunk, head = description.build()
            embedder = cls(trunk, head, description)
            embedder.load_state_dict(weights)
        except InputError as error:
            raise InputError(f"{folder}: {error}") from error
        except RuntimeError as error:
            reason = message_of(error)
            raise InputError(
                f"{folder}: the weights do not fit the architecture, they are of another model or "
                f"another version of it ({reason[:300]}): get it again, or save the model again"
            ) from error
        embedder.trunk = to_trunk_device(trunk, device)
        return embedder.to(device)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.head.parameters()).device

    @property
    def spaces(self) -> dict[str, slice]:
        """Name of each space, "euclidean" or "hyperbolic" -> its columns of an embedding."""
        return self.description.layout.slices

    @property
    def geometry(self) -> Mapping[str, Mapping[str, Any]] | None:
        """What measures the hyperbolic space, ``{name of the distance: arguments}``, or None."""
        return self.description.layout.geometry

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Embed inputs that are preprocessed already; (N, D)."""
        return self.head(self.trunk(inputs))

    def embed(
        self,
        images: Any,
        *,
        space: str | None = None,
        batch_size: int | None = None,
        precision: str = "float32",
        progress: bool | None = None,
    ) -> torch.Tensor:
        """Embed images of any form, in order.

        Args:
            images: a path of an image, a folder or a zip (all images below it, sorted by path); a
                PIL image; an array (H, W) or (H, W, C) uint8; a tensor (C, H, W), uint8 or float
                in [0, 1]; arrays or tensors with a batch dimension before these; or a list of any
                of these. For a model without a backbone: features (D,) or (N, D), a file .npz or
                .pt with ``features``, or a list of these.
            space: the columns of this space alone. Default: all columns.
            batch_size: images at a time, >= 1. Default: as the run.
            precision: "float32" (default), or "bfloat16" for the network's own arithmetic.
            progress: whether to draw a progress bar. Default: if a terminal shows it and it takes
                more than two seconds.

        Returns:
            (N, D) float32 on the CPU.

        Raises:
            InputError: there is no image, or one cannot be read or is not of a size that the model
                takes; the message names it.
            ValueError: a batch size below 1.
        """
        return self.embed_samples(
            self.samples(images),
            space=space,
            batch_size=batch_size,
            precision=precision,
            progress=progress,
        )

    def samples(self, images: Any, *, note: Callable[[str], object] | None = None) -> list[Sample]:
        """List what :meth:`embed` would embed, with names, labels and places of files.

        Args:
            images: as :meth:`embed`.
            note: called with each sentence on files and folders that were passed over, and why.
                Default: nothing is said.

        Raises:
            InputError: as :meth:`embed`; images themselves are not read yet.
        """
        if self.description.takes_features:
            return feature_samples(images, self.preprocessing.channels)
        return image_samples(images, note)

    def embed_samples(
        self,
        samples: Sequence[Sample],
        *,
        space: str | None = None,
        batch_size: int | None = None,
        precision: str = "float32",
        progress: bool | None = None,
    ) -> torch.Tensor:
        """Embed what :meth:`samples` listed; arguments and result as :meth:`embed`."""
        if precision not in _PRECISIONS:
            raise InputError(f"precision must be float32 or bfloat16, got {precision!r}")
        columns = (
            slice(None) if space is None else self.spaces[self.description.layout.named(space)]
        )
        if batch_size is None:
            batch_size = self.description.batch_size
        size = check_count("embed", "batch_size", batch_size)
        device, training = self.device, self.training
        parts = []
        self.eval()
        try:
            with (
                torch.no_grad(),
                torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"),
                tqdm.tqdm(
                    total=len(samples),
                    desc="embedding",
                    disable=None if progress is None else not progress,
                    delay=2 if progress is None else 0,
                ) as bar,
            ):
                for names, inputs in self._batches(samples, size, device):
                    parts.append(self._checked(names, inputs).float().cpu()[:, columns])
                    bar.update(len(names))
        finally:
            self.train(training)
        return torch.cat(parts)

    def distance(self, space: str | None = None) -> BaseDistance:
        """Return the PML distance that a space was trained and ranked with.

        Args:
            space: its name. Default: the only one.

        Returns:
            PoincareDistance, or PoincareSimilarity where the method's config names that, with the
            run's curvature and clipping; CosineSimilarity for a Euclidean space. It takes raw
            embeddings of that space.

        Raises:
            InputError: there is no such space, or there are two and none is named.
        """
        return self.description.layout.distance(space)

    def knn(
        self, space: str | None = None, *, reset_before: bool = True, reset_after: bool = True
    ) -> PoincareKNN | CosineKNN:
        """Return an exact nearest-neighbour search of a space, called as PML's ``FaissKNN``.

        Args:
            space: as :meth:`distance`.
            reset_before, reset_after: as FaissKNN. Default True.

        Returns:
            A PoincareKNN or a :class:`CosineKNN`: ``knn(query, k, reference, ref_includes_query)``
            gives geodesic or cosine distances, and indices, nearest first. It takes raw embeddings
            of that space.

        Raises:
            InputError: there is no such space, or there are two and none is named.
        """
        return self.description.layout.knn(
            space, reset_before=reset_before, reset_after=reset_after
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder to take home: weights (safetensors), ``config.json`` and a model card.

        Args:
            folder: made if it does not exist; an earlier model in it is replaced.

        Raises:
            InputError: the folder cannot be made.
        """
        write_pretrained(Path(folder).expanduser(), self.description, self.state_dict())

    def fingerprint(self) -> str:
        """Hash all that determines the embeddings; a run and a saved copy of it are equal."""
        content = self.description.to_json()
        digest = hashlib.sha256(
            content_hash(
                {name: content[name] for name in ("architecture", "preprocessing", "geometry")}
            ).encode()
        )
        add_weights(digest, self.state_dict())
        return digest.hexdigest()

    def _batches(self, samples, size, device):
        """Yield (names, the trunk's input) of each batch."""
        names, arrays, shape = [], [], None
        for sample, array in read_samples(samples, self.preprocessing, ahead=_AHEAD * size):
            if self.preprocessing.size is None and shape not in (None, array.shape):
                raise InputError(
                    f"{sample.name} is {_in_words(array.shape)}, {samples[0].name} is "
                    f"{_in_words(shape)}: this model does not resize its images, give all in the "
                    f"size that it was trained on"
                )
            shape = array.shape
            names.append(sample.name)
            arrays.append(array)
            if len(names) == size:
                yield names, self._inputs(arrays, device)
                names, arrays = [], []
        if names:
            yield names, self._inputs(arrays, device)

    def _inputs(self, arrays, device):
        if self.description.takes_features:
            return torch.from_numpy(np.stack(arrays)).to(device)
        return self.preprocessing.batch(arrays, device)

    def _checked(self, names, inputs):
        """Embed a batch, and check that the embeddings are finite."""
        try:
            embeddings = self(inputs)
        # timm asserts sizes, torch raises RuntimeError; other errors are not the user's.
        except (AssertionError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            reason = message_of(error)
            raise InputError(
                f"the model does not take {names[0]} as an input of shape "
                f"{tuple(inputs.shape[1:])}: {reason}"
            ) from error
        broken = (~torch.isfinite(embeddings).all(dim=1)).nonzero()
        if len(broken):
            raise InputError(f"the embedding of {names[int(broken[0])]} is not finite")
        return embeddings


def _check_sizes(layout, weights):
    """Raise RuntimeError, as torch does, unless the head's weights have the sizes of the spaces."""
    for space, size in layout.sizes.items():
        name = f"head.{space}.1.weight" if len(layout.sizes) > 1 else "head.1.weight"
        found = tuple(weights[name].shape) if name in weights else "none"
        if found == "none" or found[:1] != (size,):
            raise RuntimeError(f"the {space} space has dimension {size}, but {name} is {found}")


def _chosen(device):
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    # torch asserts that a device was compiled in.
    except (AssertionError, RuntimeError) as error:
        reason = message_of(error, 200)
        raise InputError(
            f"the device {device} cannot be used here ({reason}): use auto or cpu"
        ) from error
    return chosen


def _in_words(shape):
    return " x ".join(map(str, shape[1:]))
