"""The text of ``pml-hyperbolic list``: everything that a config can name."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..backbones import BACKBONES
from ..errors import InputError
from ..escaping import printable
from .assembly.objective import PROTOCOL_ARGUMENTS
from .assembly.registry import REGISTRY, accepted_arguments
from .config import METHOD_FOLDER, TUNED_FOLDER, benchmark_files, read_benchmark, read_method
from .config.sweep import SWEEP, variants
from .datasets import DATASETS


def list_everything(folder: Path, *, arguments: bool = False) -> str:
    """The benchmarks, methods and tuned values in a folder, and all names that a config can give.

    Args:
        folder: of configs.
        arguments: whether each registered name is followed by its arguments, with their defaults,
            and by those that it takes from the protocol. Default False.
    """
    homes = sorted({folder / METHOD_FOLDER, *folder.rglob(METHOD_FOLDER)})
    # Tuned values used to lie in methods/.
    places = [*homes, *sorted(folder.rglob(TUNED_FOLDER))]
    tuned = [child for place in places for child in sorted(place.glob("*")) if child.is_dir()]
    sections = {
        f"benchmarks in {folder}": _lines(benchmark_files(folder), _about_benchmark),
        **{f"methods in {home}": _methods(home) for home in homes},
        **{f"methods tuned for {child.name} in {child}": _methods(child) for child in tuned},
        **{
            title: [_signature(name, known[name], filled) if arguments else name for name in names]
            for title, (known, filled) in _registered().items()
            for names in [sorted(known)]
        },
    }
    lines = []
    for title, names in sections.items():
        lines += [f"{title}:", *(f"  {name}" for name in names or ["(none)"])]
    return "\n".join(map(printable, lines))


def _registered() -> dict[str, tuple[Mapping[str, Callable[..., Any]], Iterable[str]]]:
    """Title -> (name -> class, arguments that are never given in a config)."""
    # The centers of a regularizer are those of its loss.
    of_regularizers = (*PROTOCOL_ARGUMENTS, "centers_per_class")
    return {
        "data sets": (DATASETS, ()),
        "backbones": (BACKBONES, ("in_channels",)),
        "losses": (REGISTRY["loss"], PROTOCOL_ARGUMENTS),
        "regularizers": (REGISTRY["regularizer"], of_regularizers),
        "distances": (REGISTRY["distance"], ()),
        "miners": (REGISTRY["miner"], PROTOCOL_ARGUMENTS),
        "reducers": (REGISTRY["reducer"], ()),
    }


def _signature(name, target, filled):
    """``name(required, optional=default)``, and what it takes from the protocol."""
    accepted = accepted_arguments(target)
    refused = getattr(target, "refused_arguments", ())
    own = inspect.signature(target).parameters
    given = [
        argument if p.default is inspect.Parameter.empty else f"{argument}={_default(p.default)}"
        for argument, p in accepted.items()
        # What a base requires is given by the class itself.
        if argument not in (*filled, *refused)
        and (argument in own or p.default is not inspect.Parameter.empty)
    ]
    taken = [argument for argument in accepted if argument in filled]
    more = f", from the protocol: {', '.join(taken)}" if taken else ""
    return f"{name}({', '.join(given)}){more}"


def _default(value):
    return value.__name__ if inspect.isroutine(value) else repr(value)


def _methods(folder):
    return _lines({file.stem: file for file in sorted(folder.glob("*.yaml"))}, _about_method)


def _lines(files, describe):
    """One line for each (name, YAML file); one that cannot be read does not hide the others."""
    lines = []
    for name, file in files.items():
        try:
            lines.append(f"{name}: {describe(file)}".removesuffix(": "))
        except InputError as error:
            lines.append(f"{name}: cannot be used: {error}")
    return lines


def _about_benchmark(file):
    content, _ = read_benchmark(file)
    methods = ", ".join(map(str, content.get("methods") or []))
    sweep = content.get(SWEEP)
    if sweep is None:
        return methods
    name = content.get("name")
    names = ", ".join(f"{name}{variant.suffix}" for variant in variants(sweep, file))
    return f"{methods} (sweep: {names})"


def _about_method(file):
    return str(read_method(file).get("about", "")).strip().split("\n")[0]
