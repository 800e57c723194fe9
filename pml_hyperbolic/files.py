"""Files that are either whole or absent, whenever a run is killed."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import InputError

_PART = ".part"


def write_atomically(
    path: Path, write: Callable[[Path], Any], *, survives_power_cut: bool = True
) -> None:
    """Let ``write`` fill a file beside ``path``, then put it in its place in one step.

    Args:
        path: of the file.
        write: fills the file that it is given.
        survives_power_cut: wait until the file is on the disk, which may take as long as a small
            training step takes. Without it, a power cut, but no killed process, may leave a
            damaged file. Default True.
    """
    part = path.with_name(f".{path.name}{_PART}")
    write(part)
    if survives_power_cut:
        # On some file systems a power cut after the renaming would leave an empty file.
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
    os.replace(part, path)


def remove_parts(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for part in folder.glob(f".*{_PART}"):
        part.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write plain data as JSON atomically."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def content_hash(content: Any) -> str:
    """Twelve hexadecimal digits of plain data, independent of the order of keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def make_output_folder(folder: Path) -> None:
    """Make the folder of a benchmark, and those above it.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another --output"
        ) from None
