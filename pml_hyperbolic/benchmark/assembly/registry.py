"""From names in YAML to objects: PML's classes, torch's and ours, arguments checked."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers

from ... import distances as our_distances
from ... import losses as our_losses
from ... import regularizers as our_regularizers
from ...errors import InputError, nearest

# They wrap other losses in ways that a method expresses by its own keys, or take other batches.
_NOT_FOR_CONFIGS = {
    "EmbeddingsAlreadyPackagedAsTriplets",
    "MultipleLosses",
    "SelfSupervisedLoss",
}


def _classes(*modules):
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, torch.nn.Module)
        and name not in _NOT_FOR_CONFIGS
        and not name.startswith("Base")
    }


# kind -> name -> class
REGISTRY: dict[str, dict[str, type]] = {
    "loss": _classes(losses, our_losses),
    "distance": _classes(distances, our_distances),
    "miner": _classes(miners),
    "reducer": _classes(reducers),
    "regularizer": _classes(regularizers, our_regularizers),
}
# Arguments whose value is itself a name with arguments.
_NESTED = {
    "loss": "loss",
    "distance": "distance",
    "miner": "miner",
    "reducer": "reducer",
    "weight_regularizer": "regularizer",
    "embedding_regularizer": "regularizer",
    "hierarchy_regularizer": "regularizer",
}


def find(kind: str, name: str, where: str) -> type:
    """The class registered under a name.

    Args:
        kind: a key of ``REGISTRY``.
        name: what the config says.
        where: what error messages call the place.

    Raises:
        InputError: an unknown name; the message has the nearest right one.
    """
    if name not in REGISTRY[kind]:
        raise InputError(f"{where}: no {kind} {name!r}: {nearest(str(name), REGISTRY[kind])}")
    return REGISTRY[kind][name]


def build(
    kind: str,
    spec: Mapping[str, Any] | str,
    *,
    where: str,
    fill: Mapping[str, Any] | None = None,
    objects: Mapping[str, Any] | None = None,
) -> torch.nn.Module:
    """Build what a spec ``Name`` or ``{Name: {argument: value}}`` describes, nested ones too.

    Args:
        kind: a key of ``REGISTRY``.
        spec: as in the YAML.
        where: what error messages call the place.
        fill: arguments that the protocol knows (num_classes, embedding_size, ...), given to every
            class that takes them; a config that sets one is refused.
        objects: further arguments of the outermost class, ready made.

    Raises:
        InputError: an unknown name or argument, or the class refuses its arguments.
    """
    name, given = _name_and_arguments(spec, where)
    cls = find(kind, name, where)
    return call(cls, given, where=f"{where}: {name}", fill=fill, objects=objects, nested_fill=fill)


def call(
    target: Callable[..., Any],
    given: Mapping[str, Any],
    *,
    where: str,
    fill: Mapping[str, Any] | None = None,
    objects: Mapping[str, Any] | None = None,
    nested_fill: Mapping[str, Any] | None = None,
) -> Any:
    """Call a class or function with checked arguments; see :func:`build`."""
    accepted = accepted_arguments(target)
    filled = {key: value for key, value in (fill or {}).items() if key in accepted}
    arguments = {}
    for key, value in given.items():
        if key in filled:
            raise InputError(
                f"{where}: {key} is known from the protocol ({filled[key]}): leave it out"
            )
        if key not in accepted:
            raise InputError(f"{where}: unknown argument {key!r}: {nearest(str(key), accepted)}")
        kind = _NESTED.get(key)
        if kind is not None and value is not None:
            value = build(kind, value, where=f"{where}.{key}", fill=nested_fill)
        arguments[key] = value
    try:
        return target(**filled, **arguments, **(objects or {}))
    except InputError:
        raise
    # PML's constructors assert and look arguments up in whatever way, torch refuses sizes with
    # RuntimeError; all of it is bad input.
    except (
        TypeError,
        ValueError,
        AssertionError,
        AttributeError,
        LookupError,
        ArithmeticError,
        RuntimeError,
    ) as error:
        reason = " ".join(str(error).split()) or (
            "it refuses these arguments without a word; a loss made for similarities wants "
            "distance: PoincareSimilarity"
        )
        raise InputError(f"{where}: {reason}") from error


def accepted_arguments(target: Callable[..., Any]) -> set[str]:
    """Names of the arguments that a function takes, or a class and the bases it passes them to."""
    if not inspect.isclass(target):
        return _names(target)[0]
    accepted = set()
    for cls in target.__mro__:
        if "__init__" in vars(cls):
            names, passes_on = _names(cls.__init__)
            accepted |= names
            if not passes_on:
                break
    return accepted


def _names(function):
    parameters = inspect.signature(function).parameters.values()
    names = {
        p.name
        for p in parameters
        if p.name != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    return names, any(p.kind == p.VAR_KEYWORD for p in parameters)


def _name_and_arguments(spec, where):
    if isinstance(spec, str):
        return spec, {}
    if isinstance(spec, Mapping) and len(spec) == 1:
        name, arguments = next(iter(spec.items()))
        if arguments is None or isinstance(arguments, Mapping):
            return name, arguments or {}
    raise InputError(f"{where}: expected Name or {{Name: {{argument: value}}}}, got {spec!r}")
