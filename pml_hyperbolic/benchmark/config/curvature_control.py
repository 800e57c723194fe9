"""The curvature control: every hyperbolic method beside its flat twin."""

from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from .benchmark import BenchmarkConfig
from .method import MethodConfig

# sqrt(c) r = 0.02 at the usual clip radius of 2.3: flat to float precision, d = 2|x - y|.
FLAT_CURVATURE = 1e-4
TWIN_SUFFIX = "_flat"
_HYPERBOLIC_DISTANCES = ("PoincareDistance", "PoincareSimilarity")


def with_flat_twins(config: BenchmarkConfig) -> BenchmarkConfig:
    """Add the flat twin of each hyperbolic method to a benchmark with ``curvature_control: true``.

    A twin is the same method, tuned values included, with c = 1e-4 in each of its distances: a
    gain that the twin shares is not due to curvature. A benchmark that has its twins is returned
    as it is.

    Raises:
        InputError: a hyperbolic method leaves c to a default, or its twin's name is taken; a
            method claims to be the twin of another and is not.
    """
    for name, method in config.methods.items():
        twin_of = method.flat_twin_of
        if twin_of is None:
            continue
        original = config.methods.get(twin_of)
        if original is None or flat_twin(twin_of, original).hash != method.hash:
            raise InputError(
                f"{name}: flat_twin_of {twin_of!r} must name a method of this "
                f"benchmark that differs from it in c = {FLAT_CURVATURE:g} only; "
                f"curvature_control: true adds such twins by itself"
            )
    if not config.curvature_control:
        return config
    have_one = {method.flat_twin_of for method in config.methods.values()}
    methods: dict[str, MethodConfig] = {}
    for name, method in config.methods.items():
        methods[name] = method
        is_twin = method.flat_twin_of is not None
        if "hyperbolic" not in method.head.spaces or is_twin or name in have_one:
            continue
        twin = name + TWIN_SUFFIX
        if twin in config.methods:
            raise InputError(
                f"curvature_control adds {twin!r}, but there is a method of that name: rename it "
                f"or leave curvature_control out"
            )
        methods[twin] = flat_twin(name, method)
    return config.model_copy(update={"methods": methods})


def flat_twin(name: str, method: MethodConfig) -> MethodConfig:
    """A copy of a method with c = 1e-4 in each of its distances.

    Raises:
        InputError: none of its distances states its c.
    """
    content = method.model_dump()
    flat = {key: _flattened(content[key]) for key in ("loss", "regularizer", "miner")}
    if flat == {key: content[key] for key in flat}:
        raise InputError(
            f"{name}: curvature_control needs a stated c to change, and this method leaves c to a "
            f"default: write distance: {{PoincareDistance: {{c: 0.1, clip_radius: 2.3}}}}"
        )
    about = f"{method.about}; flat twin, c = {FLAT_CURVATURE:g}"
    return MethodConfig.model_validate({**content, **flat, "about": about, "flat_twin_of": name})


def curvature_paths(method: MethodConfig) -> list[str]:
    """Return the dotted path of c in each hyperbolic distance that a method names.

    Args:
        method: its config. A distance that it leaves to a default is not named.
    """
    content = method.model_dump(include={"loss", "regularizer", "miner"})
    return list(_paths_of_c(content))


def _paths_of_c(content, prefix=""):
    if isinstance(content, str) and content in _HYPERBOLIC_DISTANCES:
        yield f"{prefix}{content}.c"
    for key, value in content.items() if isinstance(content, Mapping) else ():
        if key in _HYPERBOLIC_DISTANCES:
            yield f"{prefix}{key}.c"
        else:
            yield from _paths_of_c(value, f"{prefix}{key}.")


def _flattened(content: Any, inside: str | None = None) -> Any:
    if not isinstance(content, Mapping):
        return content
    return {
        key: FLAT_CURVATURE
        if inside in _HYPERBOLIC_DISTANCES and key == "c"
        else _flattened(value, key)
        for key, value in content.items()
    }
