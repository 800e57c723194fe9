"""Values in nested mappings by dotted paths, such as ``protocol.optimizer.trunk_lr``."""

from collections.abc import Iterator, Mapping
from typing import Any


def value_at(content: Any, path: str) -> Any:
    """The value at a dotted path, None if there is no such path."""
    for key in path.split("."):
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def put_at(content: dict, path: str, value: Any) -> None:
    """Set the value at a dotted path in place, adding the mappings on the way to it.

    Raises:
        KeyError: something on the way is not a mapping; its argument is that key.
    """
    *parents, last = path.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise KeyError(parent)
    content[last] = value


def value_paths(content: Mapping, prefix: str = "") -> Iterator[str]:
    """The dotted paths of all numbers and strings."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from value_paths(value, f"{prefix}{key}.")
        elif isinstance(value, int | float | str):
            yield f"{prefix}{key}"
