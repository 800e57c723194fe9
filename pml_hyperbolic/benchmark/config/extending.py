"""A benchmark config that states only how it differs from another one: ``extends: FILE``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError
from .yaml_files import read_mapping

EXTENDS = "extends"
# (dotted path, parent's value, child's value) -> whether the child's value takes the whole place.
Replaces = Callable[[str, Any, Any], bool]


def read_extended(path: Path, replaces: Replaces) -> tuple[dict, list[Path]]:
    """The mapping of a config merged into that of the file it extends, and so on upwards.

    Mappings are merged key by key; lists, scalars and null replace what the parent says.

    Args:
        path: YAML file; ``extends`` in it is relative to its folder.
        replaces: tells of two mappings at one place whether the child's replaces the parent's.

    Returns:
        The mapping, without ``extends``, and the files it came from, the given one first.

    Raises:
        InputError: a file cannot be read, extends itself, or has no name of its own.
    """
    contents, files = [], []
    while path is not None:
        if path.resolve() in [file.resolve() for file in files]:
            chain = " extends ".join(map(str, [*files, path]))
            raise InputError(f"{chain}: a config cannot extend itself, take one `extends` out")
        content = _read(path, files)
        files.append(path)
        contents.append(content)
        path = _parent(content.pop(EXTENDS, None), path)
    *children, merged = contents
    for child in reversed(children):
        merged = _merged(merged, child, replaces)
    return merged, files


def _read(path, children):
    try:
        content = read_mapping(path)
    except InputError as error:
        if not children:
            raise
        raise InputError(f"{children[-1]}: {EXTENDS}: {error}") from None
    if EXTENDS in content and not isinstance(content.get("name"), str):
        raise InputError(
            f"{path}: name is required: a config that extends another needs one of its own, or its "
            f"runs would go into the other's folder"
        )
    return content


def _parent(extends, path):
    if extends is None:
        return None
    if not isinstance(extends, str) or not extends:
        raise InputError(
            f"{path}: {EXTENDS} must be one file, relative to this one, got {extends!r}"
        )
    return path.parent / extends


def _merged(parent, child, replaces, prefix=""):
    merged = dict(parent)
    for key, value in child.items():
        before = parent.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        path = f"{prefix}{key}"
        if both and not replaces(path, before, value):
            value = _merged(before, value, replaces, f"{path}.")
        merged[key] = value
    return merged
