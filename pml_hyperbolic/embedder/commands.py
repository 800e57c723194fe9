"""The commands ``embed``, ``index`` and ``find`` of ``pml-hyperbolic``."""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..argument_types import count
from ..errors import InputError
from ..escaping import show, show_line
from ..files import write_atomically

if TYPE_CHECKING:
    from .embedder import Embedder

_MODEL = "folder of a finished run or of a saved model, or owner/model on the Hugging Face hub"


def add_embedder_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands to a command line.

    Args:
        add: adds one, given its name, the function that does it and a sentence on it.
    """
    embed = add("embed", _embed, "embed images with a trained model and write a file")
    index = add("index", _index, "embed images with a trained model, to find them later")
    find = add("find", _find, "find the images of an index that are nearest to given ones")
    for sub in (embed, index):
        sub.add_argument("model", metavar="MODEL", help=_MODEL)
        sub.add_argument(
            "images",
            metavar="IMAGES",
            help="an image, or a folder or zip of images; for a model without a backbone a file "
            "with features",
        )
    embed.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write, .npz or .parquet (which needs pyarrow)",
    )
    index.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="file of the index to write"
    )
    find.add_argument("index", type=Path, metavar="INDEX", help="file that `index` wrote")
    find.add_argument(
        "images", nargs="+", metavar="IMAGE", help="images, or folders or zips of images"
    )
    find.add_argument(
        "-k", type=count, default=10, metavar="K", help="how many images to find (default: 10)"
    )
    find.add_argument("--html", type=Path, metavar="PAGE", help="write a page with pictures too")
    embed.add_argument("--space", help="write the columns of this space alone (default: of all)")
    find.add_argument(
        "--space", help="space to search (default: the hyperbolic one where there is one)"
    )
    find.add_argument(
        "--model", metavar="MODEL", help=f"{_MODEL} (default: where it was for `index`)"
    )
    for sub in (embed, index, find):
        sub.add_argument(
            "--batch-size", type=count, metavar="N", help="images at a time (default: as the run)"
        )
        sub.add_argument(
            "--device", default="auto", help="such as cpu or cuda:1 (default: CUDA if there is any)"
        )
        sub.add_argument(
            "--precision",
            choices=("float32", "bfloat16"),
            default="float32",
            help="of the network's arithmetic (default: float32)",
        )


def open_model(name: str, device: str) -> "Embedder":
    """Open the model of a run's folder, of a saved model's folder, or on the hub.

    Raises:
        InputError: there is none, or it is damaged.
    """
    from .embedder import Embedder
    from .pretrained_folder import CONFIG_FILE

    folder = Path(name).expanduser()
    if folder.is_dir() and not (folder / CONFIG_FILE).exists():
        return Embedder.load(folder, device=device)
    return Embedder.from_pretrained(name, device=device)


def _embed(options):
    _check_suffix(options.output)
    embedder = open_model(options.model, options.device)
    samples = embedder.samples(options.images, note=_say_note)
    space = options.space
    embeddings = embedder.embed_samples(samples, space=space, **_how(options)).numpy()
    paths = [sample.name for sample in samples]
    labels = [sample.label for sample in samples]
    spaces = {name: [part.start, part.stop] for name, part in embedder.spaces.items()}
    description = {
        "model": options.model,
        "fingerprint": embedder.fingerprint(),
        "spaces": spaces if space is None else {space: [0, embeddings.shape[1]]},
        "geometry": embedder.geometry,
    }
    write = _write_parquet if options.output.suffix == ".parquet" else _write_npz
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write(options.output, embeddings, paths, labels, description)
    except OSError as error:
        raise InputError(
            f"{options.output} cannot be written: {error.strerror or error}"
        ) from error
    show_line(f"{len(paths)} embeddings of {embeddings.shape[1]} dimensions: {options.output}")
    return 0


def _index(options):
    from .image_index import ImageIndex

    embedder = open_model(options.model, options.device)
    folder = Path(options.model).expanduser()
    model = str(folder.absolute()) if folder.is_dir() else options.model
    index = ImageIndex.build(embedder, options.images, model=model, note=_say_note, **_how(options))
    index.save(options.output)
    show_line(f"{len(index)} images: {options.output}")
    return 0


def _find(options):
    from .found_images import FoundImages
    from .image_index import ImageIndex

    index = ImageIndex.load(options.index)
    name = options.model or index.model
    if not name:
        raise InputError(f"{options.index} does not say where its model is: give it with --model")
    embedder = open_model(name, options.device)
    found = FoundImages.find(
        index,
        embedder,
        options.images,
        options.k,
        space=options.space,
        note=_say_note,
        **_how(options),
    )
    show(found.table())
    if options.html is not None:
        found.write_page(options.html)
        show_line(f"page: {options.html}")
    return 0


def _say_note(sentence):
    show_line(f"note: {sentence}")


def _how(options):
    return {"batch_size": options.batch_size, "precision": options.precision}


def _check_suffix(path):
    if path.suffix not in (".npz", ".parquet"):
        raise InputError(f"--output {path}: expected a file .npz or .parquet: choose one of these")
    if path.suffix == ".parquet":
        _pyarrow(path)


def _pyarrow(path):
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise InputError(
            f"--output {path} needs pyarrow: pip install pyarrow, or write a file .npz"
        ) from None
    return pyarrow


def _write_npz(path, embeddings, paths, labels, description):
    arrays = {
        "embeddings": embeddings,
        "paths": np.array(paths),
        "description": np.array(json.dumps(description)),
    }
    if None not in labels:
        arrays["class_names"], arrays["labels"] = np.unique(labels, return_inverse=True)
    arrays |= _flat_geometry(description)

    def write(part):
        # Given a name, NumPy would add a suffix to it.
        with part.open("wb") as file:
            np.savez(file, **arrays)

    write_atomically(path, write)


def _flat_geometry(description):
    """Name the geometry of a single hyperbolic space as readers of embeddings know it."""
    if list(description["spaces"]) != ["hyperbolic"]:
        return {}
    (arguments,) = description["geometry"].values()
    # NumPy has no None without pickle; an infinite radius clips nothing.
    return {
        name: np.array(math.inf if value is None else value)
        for name, value in arguments.items()
        if name in ("c", "clip_radius", "clip", "inputs")
    }


def _write_parquet(path, embeddings, paths, labels, description):
    pyarrow = _pyarrow(path)
    count, dimension = embeddings.shape
    columns = {
        "path": pyarrow.array(paths),
        "label": pyarrow.array(labels, pyarrow.string()),
        "embedding": pyarrow.FixedSizeListArray.from_arrays(
            pyarrow.array(embeddings.reshape(count * dimension)), dimension
        ),
    }
    table = pyarrow.table(columns).replace_schema_metadata(
        {"pml_hyperbolic": json.dumps(description)}
    )
    write_atomically(path, lambda part: pyarrow.parquet.write_table(table, part))
