"""Build objects from the names and arguments in a config, with every argument checked."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers

from ... import distances as our_distances
from ... import losses as our_losses
from ... import regularizers as our_regularizers
from ...errors import InputError, nearest

# These wrap other losses in ways for which a method has keys of its own, or take other batches.
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
# Arguments whose value is again a name with arguments.
_NESTED = {
    "loss": "loss",
    "distance": "distance",
    "miner": "miner",
    "reducer": "reducer",
    "weight_regularizer": "regularizer",
    "embedding_regularizer": "regularizer",
    "hierarchy_regularizer": "regularizer",
}
# Arguments that take an object for each level of the labels, all built from one description.
_PER_LEVEL = {"losses": "loss", "miners": "miner"}


def find(kind: str, name: str, where: str) -> type:
    """Return the class that is registered under a name.

    Args:
        kind: a key of ``REGISTRY``.
        name: from the config.
        where: the place in the config, for messages.

    Raises:
        InputError: an unknown name; the message suggests the nearest known one.
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
    """Build the object that ``Name`` or ``{Name: {argument: value}}`` describes, nested ones too.

    Args:
        kind: a key of ``REGISTRY``.
        spec: as in the YAML file.
        where: the place in the config, for messages.
        fill: arguments that the protocol determines (num_classes, embedding_size, ...). Every
            class that takes them gets them; a config must not set them.
        objects: further arguments of the outermost class, which are objects already.

    Raises:
        InputError: an unknown name or argument, or the class does not accept its arguments.
    """
    name, given = _name_and_arguments(spec, where)
    cls = find(kind, name, where)
    return call(cls, given, where=f"{where}: {name}", fill=fill, objects=objects)


def call(
    target: Callable[..., Any],
    given: Mapping[str, Any],
    *,
    where: str,
    fill: Mapping[str, Any] | None = None,
    objects: Mapping[str, Any] | None = None,
) -> Any:
    """Call a class or function with checked arguments.

    Args:
        target: the class or function.
        given: arguments from the config.
        where: the place in the config, for messages.
        fill: arguments that the protocol determines, passed to ``target`` and to the objects that
            are built from ``given`` if they take them.
        objects: further arguments, which are objects already.

    Raises:
        InputError: an unknown argument, or ``target`` does not accept its arguments.
    """
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
            value = build(kind, value, where=f"{where}.{key}", fill=fill)
        kind = _PER_LEVEL.get(key)
        if kind is not None and value is not None:
            place = f"{where}.{key}"
            value = [build(kind, value, where=place, fill=f) for f in _level_fills(fill, where)]
        arguments[key] = value
    try:
        return target(**filled, **arguments, **(objects or {}))
    except InputError:
        raise
    # PML's constructors use assertions and unchecked look-ups, torch refuses sizes with
    # RuntimeError; all of these mean that the input is wrong.
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
            "it does not accept these arguments and gives no reason; a loss made for similarities "
            "needs distance: PoincareSimilarity"
        )
        raise InputError(f"{where}: {reason}") from error


def from_registry(
    registry: Mapping[str, Callable[..., Any]],
    kind: str,
    spec: Mapping[str, Mapping[str, Any]],
    where: str,
    fill: Mapping[str, Any] | None = None,
) -> Any:
    """Build the data set or backbone that ``{name: arguments}`` describes.

    Args:
        registry: name -> class.
        kind: what the registry contains, for messages.
        spec: as in the YAML file.
        where: the place in the config, for messages.
        fill: arguments that the protocol determines.

    Raises:
        InputError: an unknown name or argument, or the class does not accept its arguments.
    """
    name, arguments = next(iter(spec.items()))
    if name not in registry:
        raise InputError(f"{where}: no {kind} {name!r}: {nearest(name, registry)}")
    return call(registry[name], arguments, where=f"{where}: {name}", fill=fill)


def accepted_arguments(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the arguments of a function, or of a class with the bases it forwards them to."""
    if not inspect.isclass(target):
        return _named(target)[0]
    accepted: dict[str, inspect.Parameter] = {}
    for cls in target.__mro__:
        if "__init__" in vars(cls):
            named, passes_on = _named(vars(cls)["__init__"])
            accepted |= {name: p for name, p in named.items() if name not in accepted}
            if not passes_on:
                break
    return accepted


def _level_fills(fill, where):
    """What the protocol determines for the objects of each level: its own number of classes."""
    if not fill or "ancestors" not in fill:
        raise InputError(
            f"{where} cannot stand inside another loss: make it the method's loss, and put the "
            f"other loss among its losses"
        )
    rest = {key: value for key, value in fill.items() if key != "ancestors"}
    return [
        {**rest, "num_classes": int(column.max()) + 1} for column in fill["ancestors"].unbind(1)
    ]


def _named(function):
    parameters = inspect.signature(function).parameters.values()
    named = {
        p.name: p
        for p in parameters
        if p.name != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    return named, any(p.kind == p.VAR_KEYWORD for p in parameters)


def _name_and_arguments(spec, where):
    if isinstance(spec, str):
        return spec, {}
    if isinstance(spec, Mapping) and len(spec) == 1:
        name, arguments = next(iter(spec.items()))
        if arguments is None or isinstance(arguments, Mapping):
            return name, arguments or {}
    raise InputError(
        f"{where}: expected Name or {{Name: {{argument: value}}}}, got {spec!r}: write one name"
    )
