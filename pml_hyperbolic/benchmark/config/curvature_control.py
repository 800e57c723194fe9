"""The curvature control: every hyperbolic method beside its flat twin."""

from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from . import BenchmarkConfig, MethodConfig

# sqrt(c) r = 0.02 at the usual clip radius of 2.3: flat to float precision, d = 2|x - y|.
FLAT_CURVATURE = 1e-4
TWIN_SUFFIX = "_flat"
_HYPERBOLIC_DISTANCES = ("PoincareDistance", "PoincareSimilarity")


def with_flat_twins(config: BenchmarkConfig) -> BenchmarkConfig:
    """A benchmark with, if its config asks for it, the flat twin of each hyperbolic method.

    A twin is the same method, its tuned values included, with c = 1e-4 in each of its distances:
    what it gains too is not due to curvature. Given a benchmark that has its twins, nothing
    changes.

    Raises:
        InputError: a hyperbolic method leaves c to a default, or has the name of a twin; a method
            says to be the twin of another and is not.
    """
    for name, method in config.methods.items():
        original = config.methods.get(method.flat_twin_of)
        if method.flat_twin_of is not None and (
            original is None or flat_twin(method.flat_twin_of, original).hash != method.hash
        ):
            raise InputError(
                f"{name}: flat_twin_of {method.flat_twin_of!r} must name a method of this "
                f"benchmark that differs from it in c = {FLAT_CURVATURE:g} only; "
                f"curvature_control: true makes twins by itself"
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
                f"curvature_control adds {twin!r}, but a method of that name is there: rename it "
                f"or leave curvature_control out"
            )
        methods[twin] = flat_twin(name, method)
    return config.model_copy(update={"methods": methods})


def flat_twin(name: str, method: MethodConfig) -> MethodConfig:
    """The same method at c = 1e-4.

    Raises:
        InputError: none of its distances says its c.
    """
    content = method.model_dump()
    flat = {key: _flattened(content[key]) for key in ("loss", "regularizer", "miner")}
    if flat == {key: content[key] for key in flat}:
        raise InputError(
            f"{name}: curvature_control needs the c that it changes: write the method's distance "
            f"out, such as distance: {{PoincareDistance: {{c: 0.1, clip_radius: 2.3}}}}"
        )
    about = f"{method.about}; flat twin, c = {FLAT_CURVATURE:g}"
    return MethodConfig.model_validate({**content, **flat, "about": about, "flat_twin_of": name})


def _flattened(content: Any, inside: str | None = None) -> Any:
    if not isinstance(content, Mapping):
        return content
    return {
        key: FLAT_CURVATURE
        if inside in _HYPERBOLIC_DISTANCES and key == "c"
        else _flattened(value, key)
        for key, value in content.items()
    }
