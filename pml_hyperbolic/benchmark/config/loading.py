"""From files to validated benchmarks: inheritance, overrides, sweeps, and methods by name."""

import copy
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from ...errors import InputError, nearest
from .benchmark import BenchmarkConfig
from .dotted_paths import put_at
from .extending import Part, merge_chain, read_chain
from .folders import METHOD_FOLDER, TUNED_FOLDER, find_config, shipped_folder
from .method import SETTINGS, MethodConfig
from .splits import kind_of_splits
from .strict_model import NAME_PATTERN, StrictModel
from .sweep import SWEEP, check_override, check_sweep, select, variants
from .validation_message import validation_message
from .yaml_files import parse_yaml

# What a method file says of its own settings only: one that extends it has other settings.
NOT_INHERITED = ("tuned", "search_trials", "flat_twin_of")
_METHODS = "methods"
_Model = TypeVar("_Model", bound=StrictModel)


def load_benchmark(path: Path, overrides: list[str] | None = None) -> BenchmarkConfig:
    """Read and validate one benchmark and the methods that it names.

    Args:
        path: as for ``load_benchmarks``.
        overrides: as for ``load_benchmarks``.

    Raises:
        InputError: as ``load_benchmarks``, or the config sweeps over several benchmarks.
    """
    configs = load_benchmarks(path, overrides)
    if len(configs) > 1:
        names = ", ".join(config.name for config in configs)
        raise InputError(
            f"{path} sweeps over {len(configs)} benchmarks ({names}): select one by an override "
            f"of the swept key"
        )
    return configs[0]


def load_benchmarks(path: Path, overrides: list[str] | None = None) -> list[BenchmarkConfig]:
    """Read and validate the benchmarks of a config: one, or as many as its ``sweep`` has values.

    Methods are looked up by name, in the folder of the config first and then in those of the files
    it extends. In each folder come first, for each of the files in turn, ``tuned/<file>_<value>/``
    of a sweep, ``tuned/<file>/``, and the methods written in the file itself; then ``methods/``.
    The shipped methods come last.

    Args:
        path: YAML file with ``name``, ``protocol`` and ``methods``, or with ``extends: FILE`` and
            the keys that differ from that file's; or the name of a shipped config.
        overrides: ``key=value`` with a dotted key of that file and a value in YAML. An override
            of a swept key selects that value. ``methods.NAME.key=value`` changes a method as a
            file that extends it would; one that was tuned then counts as not tuned.

    Raises:
        InputError: naming the file, the key and how to fix it.
    """
    path = find_config(path)
    parts = _read_parts(path)
    content = copy.deepcopy(_content(parts))
    parsed = [_parsed(override) for override in overrides or []]
    for override in parsed:
        if not override.of_method:
            _apply_override(content, override)
    names = _method_names(path, content)
    changes = _method_changes([o for o in parsed if o.of_method], names)
    configs = []
    for suffix, values in variants(content.pop(SWEEP, None), path):
        one = copy.deepcopy(content)
        for key, value in values.items():
            try:
                put_at(one, key, value)
            except KeyError as error:
                section = error.args[0]
                raise InputError(
                    f"{path}: {SWEEP}: {key}: {section!r} is not a section of the config: give "
                    f"the path of a setting, such as protocol.embedding_size"
                ) from None
        if suffix and isinstance(one.get("name"), str):
            one["name"] += suffix
        one["methods"] = {
            name: _load_method(path, parts, suffix, name, changes.get(name)) for name in names
        }
        config = _validated(BenchmarkConfig, one, path)
        published = [item for item in config.published if item.matches(config.protocol)]
        configs.append(config.model_copy(update={"published": published}))
    return configs


def read_benchmark(path: Path) -> tuple[dict[str, Any], list[Path]]:
    """The content of a benchmark config merged with those it extends, not validated.

    Returns:
        The mapping, whose ``methods`` are names, and the files it came from, the given one first.

    Raises:
        InputError: a file cannot be read, or its ``extends`` or ``sweep`` cannot be followed.
    """
    parts = _read_parts(path)
    return _content(parts), [part.file for part in parts]


def read_method(path: Path, content: dict | None = None) -> dict[str, Any]:
    """The content of a method merged with those it extends, not validated.

    ``loss``, ``miner``, ``regularizer`` and any distance within them are merged with the parent's
    where both have one name, and replace it otherwise; a bare name replaces it too. ``search``
    replaces the parent's. ``tuned``, ``search_trials`` and ``flat_twin_of`` are not inherited.

    Args:
        path: YAML file of a method.
        content: used in place of what the file holds. Default: the file is read.
    """
    own, *parents = read_chain(path, content)
    inherited = [
        Part(file, {key: said[key] for key in said if key not in NOT_INHERITED})
        for file, said in parents
    ]
    return merge_chain([own, *inherited], _method_section_replaces)


def _read_parts(path):
    parts = read_chain(path, named=True)
    check_sweep(parts)
    return parts


def _content(parts):
    content = merge_chain(parts, _benchmark_section_replaces)
    methods = content.get("methods")
    if isinstance(methods, list):
        content["methods"] = [next(iter(m)) if _is_definition(m) else m for m in methods]
    return content


def _is_definition(entry):
    """Whether an entry of ``methods`` is {name: {...}}, a method written in the benchmark."""
    if not isinstance(entry, Mapping) or len(entry) != 1:
        return False
    return isinstance(next(iter(entry.values())), Mapping)


def _defined(part):
    """The methods that a benchmark config itself holds, by name."""
    methods = part.content.get("methods")
    entries = methods if isinstance(methods, list) else []
    return {name: said for e in entries if _is_definition(e) for name, said in e.items()}


def _method_names(path, content):
    names = content.get("methods")
    if names is None and "loss" in content:
        raise InputError(f"{path} is a method: give the benchmark that names it, such as digits")
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise InputError(
            f"{path}: methods must be a list of method names, got {names!r}: write them in "
            f"brackets, such as methods: [chest, proxy_anchor]"
        )
    if len(set(names)) != len(names):
        raise InputError(
            f"{path}: methods must differ from each other, got {names}: name each one once"
        )
    for name in names:
        if not re.fullmatch(NAME_PATTERN, name):
            raise InputError(
                f"{path}: a method's name consists of letters, digits and . _ -, got {name!r}: "
                f"choose a name in the folder {METHOD_FOLDER} beside the config"
            )
    return names


def _load_method(path, parts, suffix, name, change):
    found = next(_candidates(parts, suffix, name), None)
    if found is None:
        expected = path.parent / METHOD_FOLDER / f"{name}.yaml"
        known = set(_known_methods(parts, suffix))
        raise InputError(f"{path}: no method {name!r} ({expected}): {nearest(name, known)}")
    source, file, content = found
    said = read_method(file, content)
    if change is not None:
        source, said = f"{source}, overridden", _changed_method(file, said, change)
    return _validated(MethodConfig, said, source)


def _changed_method(file, said, change):
    """A method as a file that extends it and says ``change`` would have it.

    It has other settings than those that a search found for it, which it therefore declares.
    """
    if change.keys() & set(SETTINGS):
        tuned = "search_trials" in said or "tuned" in said
        said = {key: said[key] for key in said if key not in NOT_INHERITED}
        if tuned:
            said["different_search_trials"] = True
    return merge_chain([Part(file, change), Part(file, said)], _method_section_replaces)


def _candidates(parts, suffix, name):
    """All (source for messages, file, content if it is not the file's) of a method's name."""
    for place in _places(parts, suffix):
        if isinstance(place, Part):
            if name in (defined := _defined(place)):
                yield f"{place.file}: methods: {name}", place.file, defined[name]
        elif (file := place / f"{name}.yaml").is_file():
            yield file, file, None


def _known_methods(parts, suffix):
    for place in _places(parts, suffix):
        if isinstance(place, Part):
            yield from _defined(place)
        else:
            yield from (file.stem for file in place.glob("*.yaml"))


def _places(parts, suffix) -> Iterator[Path | Part]:
    """Where methods are looked up: folders, and the configs themselves.

    ``methods/`` comes after all that the files of one folder say: a config that extends another
    in its folder and changes nothing has the same methods.
    """
    for folder, group in itertools.groupby(parts, lambda part: part.file.parent):
        for part in group:
            stem = part.file.stem
            if suffix:
                yield folder / TUNED_FOLDER / f"{stem}{suffix}"
            yield folder / TUNED_FOLDER / stem
            # Where tuned values used to lie.
            yield folder / METHOD_FOLDER / stem
            yield part
        yield folder / METHOD_FOLDER
    yield shipped_folder() / METHOD_FOLDER


def _benchmark_section_replaces(path, parent, child):
    """Whether a child's section is another choice than its parent's, not a change to it."""
    if path in ("protocol.data", "protocol.backbone"):
        return set(parent) != set(child)
    if path == "protocol.splits":
        return kind_of_splits(parent) != kind_of_splits(child)
    return path == SWEEP


def _method_section_replaces(path, parent, child):
    """Whether a child's section is another choice than its parent's, not a change to it."""
    if path == "search":
        return True
    if path == "regularizer" and {"use"} <= parent.keys() & child.keys():
        return _name_of(parent["use"]) != _name_of(child["use"])
    names = _name_of(parent), _name_of(child)
    if path in ("loss", "miner"):
        return names[0] != names[1]
    # A distance, or another object within the arguments: classes begin with a capital letter.
    return all(isinstance(n, str) and n[:1].isupper() for n in names) and names[0] != names[1]


def _name_of(spec):
    """The name of ``Name`` or ``{Name: {...}}``, None for anything else."""
    if isinstance(spec, Mapping):
        return next(iter(spec)) if len(spec) == 1 else None
    return spec


class _Override(NamedTuple):
    """``key=value`` of the command line."""

    text: str
    key: str
    value: Any

    @property
    def of_method(self):
        return self.key.startswith(f"{_METHODS}.")


def _parsed(override):
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(
            f"an override is key=value, for example protocol.epochs=3: got {override!r}"
        )
    return _Override(override, key, parse_yaml(text, f"the override {override}"))


def _apply_override(content, override):
    text, key, value = override
    sweep = content.get(SWEEP)
    if isinstance(sweep, dict) and key in sweep:
        sweep[key] = select(sweep[key], value)
        return
    check_override(key, sweep, text)
    _put(content, key, override, "the config")


def _method_changes(overrides, names):
    """What overrides say of methods, as name -> nested mapping."""
    changes: dict[str, dict] = {}
    for override in overrides:
        path = override.key.removeprefix(f"{_METHODS}.")
        # A name may contain dots, and one method's may begin with another's.
        name = max((n for n in names if f"{path}.".startswith(f"{n}.")), key=len, default=None)
        if name is None:
            given = path.partition(".")[0]
            raise InputError(
                f"the override {override.text}: no method {given!r} in this benchmark: "
                f"{nearest(given, names)}"
            )
        if path == name:
            raise InputError(
                f"the override {override.text}: give a key of {name}, such as "
                f"{_METHODS}.{name}.loss_lr=1, or choose the methods with {_METHODS}=[{name}]"
            )
        change = changes.setdefault(name, {})
        _put(change, path.removeprefix(f"{name}."), override, f"the method {name}")
    return changes


def _put(content, key, override, place):
    try:
        put_at(content, key, override.value)
    except KeyError as error:
        section = error.args[0]
        raise InputError(
            f"the override {override.text}: {section!r} is not a section of {place}: give the path "
            f"of a setting, such as protocol.epochs=3"
        ) from None


def _validated(model: type[_Model], content, source) -> _Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{source}: {validation_message(error)}") from None
