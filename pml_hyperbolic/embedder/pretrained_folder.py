"""Write and read the folder of a saved model: safetensors, a readable JSON and a model card.

Whatever is read back carries a SHA-256 checksum in the JSON, the JSON itself included, and nothing
in the folder is unpickled: it may come from a stranger.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..checked_files import file_checksum
from ..errors import InputError, message_of
from ..files import (
    content_checksum,
    make_output_folder,
    write_atomically,
    write_json,
    write_text,
)
from .model_card import model_card
from .model_description import ModelDescription

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
_FORMAT = "pml_hyperbolic.Embedder"
_VERSION = 1
_CHECKSUMS = "sha256"
_AGAIN = "get it again or save the model again"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def write_pretrained(
    folder: Path, description: ModelDescription, weights: Mapping[str, torch.Tensor]
) -> None:
    """Write a model into a folder, replacing an earlier one.

    Args:
        folder: made if it does not exist.
        description: of the model.
        weights: by name.

    Raises:
        InputError: the folder cannot be made.
    """
    from safetensors.torch import save_file

    make_output_folder(folder)
    # The format knows neither shared memory nor strides.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    write_atomically(
        folder / WEIGHTS_FILE,
        lambda part: save_file(plain, part, metadata={"format": "pt"}),
    )
    write_text(folder / CARD_FILE, model_card(description))
    content = {"format": _FORMAT, "version": _VERSION, **description.to_json()}
    content[_CHECKSUMS] = {
        WEIGHTS_FILE: file_checksum(folder / WEIGHTS_FILE),
        CONFIG_FILE: _content_checksum(content),
    }
    # Written last: it vouches for the weights.
    write_json(folder / CONFIG_FILE, content)


def read_pretrained(folder: Path) -> tuple[ModelDescription, dict[str, torch.Tensor]]:
    """Read the model that :func:`write_pretrained` wrote.

    Raises:
        InputError: a file is missing, damaged or foreign; the message names it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise InputError(f"{folder} lacks {name}: it is not a whole saved model, get it again")
    content = _read_config(folder / CONFIG_FILE)
    checksums = content[_CHECKSUMS]
    if _content_checksum(content) != checksums.get(CONFIG_FILE):
        raise InputError(
            f"{folder / CONFIG_FILE} does not have its own checksum: it is damaged or was edited, "
            f"{_AGAIN}"
        )
    if file_checksum(folder / WEIGHTS_FILE) != checksums.get(WEIGHTS_FILE):
        raise InputError(
            f"{folder / WEIGHTS_FILE} does not have the checksum that {CONFIG_FILE} records: it is "
            f"damaged or of another model, get it again"
        )
    try:
        description = ModelDescription.from_json(content)
    except InputError as error:
        raise InputError(f"{folder / CONFIG_FILE}: {error}: {_AGAIN}") from error
    try:
        return description, load_file(folder / WEIGHTS_FILE)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{folder / WEIGHTS_FILE} cannot be read as safetensors "
            f"({' '.join(str(error).split())}): {_AGAIN}"
        ) from error


def find_pretrained(name: str | Path, *, revision: str | None = None) -> Path:
    """Find the folder of a saved model: the one that is named, or a copy from the hub.

    Args:
        name: a folder, or a model on the Hugging Face hub as ``owner/model``.
        revision: branch, tag or commit on the hub. Default: its main branch.

    Raises:
        InputError: there is neither.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_NAME.fullmatch(str(name)):
        raise InputError(f"{name} is missing: give the folder of a saved model, or owner/model")
    import huggingface_hub

    try:
        return Path(
            huggingface_hub.snapshot_download(
                str(name), revision=revision, allow_patterns=[CONFIG_FILE, WEIGHTS_FILE]
            )
        )
    # The hub's client raises exceptions of its own and of its network library.
    except Exception as error:
        reason = message_of(error, 200)
        raise InputError(
            f"{name} is neither a folder here nor a model that the hub gives ({reason})"
        ) from error


def _read_config(file):
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise InputError(
            f"{file} cannot be read as JSON ({' '.join(str(error).split())}): {_AGAIN}"
        ) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise InputError(
            f"{file} does not describe a model of pml_hyperbolic, expected the format {_FORMAT}: "
            f"give the folder of a saved model"
        )
    if content.get("version") != _VERSION:
        raise InputError(
            f"{file} has version {content.get('version')!r}, this version of pml_hyperbolic reads "
            f"{_VERSION}: update pml_hyperbolic"
        )
    if not isinstance(content.get(_CHECKSUMS), dict):
        raise InputError(f"{file} lacks its checksums ({_CHECKSUMS}): {_AGAIN}")
    return content


def _content_checksum(content: Mapping[str, Any]) -> str:
    """Hash all but the checksums, independently of the order of keys and of white space."""
    content = {key: value for key, value in content.items() if key != _CHECKSUMS}
    return content_checksum(content)
