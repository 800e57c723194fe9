"""``extends: FILE``: a config that states only how it differs from another one.

Benchmarks and methods extend alike. Mappings are merged key by key; lists, single values and null
replace what the parent says, as does a section that makes another choice than the parent's (see
``Replaces``).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import InputError
from .folders import find_config
from .yaml_files import read_mapping

EXTENDS = "extends"
# A reader opens three files at most to know all of a config.
MOST_PARENTS = 2
# (dotted path, parent's mapping, child's mapping) -> whether the child's replaces the parent's.
Replaces = Callable[[str, Mapping, Mapping], bool]


class Part(NamedTuple):
    """What one file contributes to a config, without ``extends``."""

    file: Path
    content: dict[str, Any]


def read_chain(path: Path, content: dict | None = None, *, named: bool = False) -> list[Part]:
    """Read a config and the files that it extends.

    Args:
        path: the config. ``extends`` is relative to the folder of the file that states it, or the
            name of a shipped config.
        content: used in place of what the file holds, for a method inside a benchmark. Default:
            the file is read.
        named: whether a config that extends another needs a ``name`` of its own. Default False.

    Returns:
        The parts, that of the config first.

    Raises:
        InputError: a file cannot be read, extends itself, extends a chain of more than
            ``MOST_PARENTS`` files, or lacks a name.
    """
    parts: list[Part] = []
    while True:
        if content is None:
            content = _read(path, parts)
        extends = content.get(EXTENDS)
        parts.append(Part(path, {key: content[key] for key in content if key != EXTENDS}))
        if EXTENDS in content and named and not isinstance(content.get("name"), str):
            raise InputError(
                f"{path}: name is required: a config that extends another needs one of its own, "
                f"or its runs would go into the other's folder"
            )
        if extends is None:
            return parts
        if not isinstance(extends, str) or not extends:
            raise InputError(
                f"{path}: {EXTENDS} must be one file, relative to this one, or the name of a "
                f"shipped config, got {extends!r}"
            )
        try:
            path, content = find_config(extends, path.parent), None
        except InputError as error:
            raise InputError(f"{path}: {EXTENDS}: {error}") from None
        _check_length(path, [part.file for part in parts])


def merge_chain(parts: Sequence[Part], replaces: Replaces) -> dict[str, Any]:
    """The content of a config, given its parts, its own first."""
    *children, root = parts
    merged = dict(root.content)
    for _, child in reversed(children):
        merged = _merged(merged, child, replaces)
    return merged


def _check_length(path, files):
    chain = " extends ".join(map(str, [*files, path]))
    if path.resolve() in [file.resolve() for file in files]:
        raise InputError(f"{chain}: a config cannot extend itself, take one `extends` out")
    if len(files) > MOST_PARENTS:
        raise InputError(
            f"{chain}: a config may extend a file that extends one more, which must extend none: "
            f"let one of them state what it takes from its parent"
        )


def _read(path, children):
    try:
        return read_mapping(path)
    except InputError as error:
        if not children:
            raise
        raise InputError(f"{children[-1].file}: {EXTENDS}: {error}") from None


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
