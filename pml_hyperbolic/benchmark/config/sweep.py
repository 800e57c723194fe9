"""``sweep: {protocol.KEY: values}``: one file for the benchmarks that differ in a protocol key.

Each value gives a benchmark of its own, as if a file of its own extended the config with that
value: ``name_value`` is its name and so its run folder. Values that cannot be part of a name are
given a label: ``{label: value}``. Several keys give every combination of their values.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...errors import InputError
from .dotted_paths import value_at
from .extending import Part
from .strict_model import NAME_PATTERN

SWEEP = "sweep"


class Variant(NamedTuple):
    """One benchmark of a sweep.

    Attributes:
        suffix: added to the name of the config, empty without a sweep.
        values: dotted path -> value.
    """

    suffix: str
    values: dict[str, Any]


def variants(sweep: Any, source: object) -> list[Variant]:
    """The benchmarks of a sweep, or one without a suffix where there is none.

    Args:
        sweep: what the config says, None where it says nothing.
        source: the config, for messages.

    Raises:
        InputError: not a mapping of protocol keys to lists of values or to labelled values.
    """
    if sweep is None:
        return [Variant("", {})]
    if not isinstance(sweep, Mapping) or not sweep:
        raise InputError(
            f"{source}: {SWEEP} must be a mapping of protocol keys to values, got {sweep!r}: write "
            f"{{protocol.embedding_size: [64, 128]}}, for example"
        )
    columns = [
        [(label, key, value) for label, value in _labelled(key, values, source)]
        for key, values in sweep.items()
    ]
    return [
        Variant("".join(f"_{label}" for label, _, _ in row), {key: value for _, key, value in row})
        for row in itertools.product(*columns)
    ]


def select(values: Any, value: Any) -> Any:
    """The values of a swept key that are left when it is overridden.

    Args:
        values: all of them.
        value: one of them, the label of one, or another value.
    """
    if isinstance(values, Mapping):
        chosen = {label: one for label, one in values.items() if value in (label, one)}
        if chosen:
            return chosen
    return [value]


def check_sweep(parts: Sequence[Part]) -> None:
    """Refuse a key that is both swept and set.

    Args:
        parts: those of a config, its own first.

    Raises:
        InputError: a swept key is also set, in the file that sweeps or in one that extends it.
    """
    sweep, home = None, None
    for file, content in reversed(parts):
        if SWEEP in content:
            sweep, home = content[SWEEP], file
        for key in sweep if isinstance(sweep, Mapping) else []:
            if str(key).startswith("protocol.") and value_at(content, key) is not None:
                raise InputError(
                    f"{file}: {key} is set here and swept in {home}: keep one of them "
                    f"({SWEEP}: null ends an inherited sweep)"
                )


def check_override(key: str, sweep: Any, override: str) -> None:
    """Refuse to override a part of a swept value, or a section that holds a swept key."""
    for swept in sweep if isinstance(sweep, Mapping) else []:
        if f"{key}.".startswith(f"{swept}.") or f"{swept}.".startswith(f"{key}."):
            raise InputError(
                f"the override {override}: the config sweeps {swept}: select one of its values "
                f"with {swept}=VALUE, or put {SWEEP}=null first"
            )


def _labelled(key, values, source):
    if not isinstance(key, str) or not key.startswith("protocol."):
        raise InputError(
            f"{source}: {SWEEP}: only keys of the protocol can be swept, got {key!r}: give one "
            f"such as protocol.embedding_size"
        )
    if isinstance(values, list) and values:
        pairs = [(_label(value), value) for value in values]
    elif isinstance(values, Mapping) and values:
        pairs = [(_label(label), value) for label, value in values.items()]
    else:
        raise InputError(
            f"{source}: {SWEEP}: {key} must be a list of values or a mapping of labels to values, "
            f"got {values!r}: write the values in brackets"
        )
    for label, value in pairs:
        if label is None:
            raise InputError(
                f"{source}: {SWEEP}: {key}: {value!r} cannot be part of a name: give each value a "
                f"label of letters, digits and . _ -, such as {{small: {value!r}}}"
            )
    labels = [label for label, _ in pairs]
    if len(set(labels)) < len(labels):
        raise InputError(
            f"{source}: {SWEEP}: {key}: values must differ from each other, got {labels}: keep one "
            f"of each"
        )
    return pairs


def _label(value):
    """The part of a name that a value gives, None if it gives none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return str(value) if re.fullmatch(NAME_PATTERN, str(value)) else None
