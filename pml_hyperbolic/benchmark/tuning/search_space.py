"""Search spaces: conversion between a method's settings and Optuna's parameters."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial
from scipy.stats.qmc import Sobol

from ..config import SearchRange

Space = Mapping[str, SearchRange]
Distribution = IntDistribution | FloatDistribution | CategoricalDistribution
# A value within this share of a range from its end counts as lying at the edge.
_EDGE = 0.02


def distribution(allowed: SearchRange) -> Distribution:
    """Optuna's distribution for a setting. A grid is searched by index, as it is ordered."""
    if allowed.grid is not None:
        return IntDistribution(0, len(allowed.grid) - 1)
    if allowed.choices is not None:
        return CategoricalDistribution(allowed.choices)
    low, high = _ends(allowed)
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=allowed.log)
    return FloatDistribution(low, high, log=allowed.log)


def suggest(trial: Trial, path: str, allowed: SearchRange) -> Any:
    """What a trial has, or its sampler proposes, for a setting, as Optuna's parameter."""
    kind = distribution(allowed)
    if isinstance(kind, CategoricalDistribution):
        return trial.suggest_categorical(path, kind.choices)
    if isinstance(kind, IntDistribution):
        return trial.suggest_int(path, kind.low, kind.high, log=kind.log)
    return trial.suggest_float(path, kind.low, kind.high, log=kind.log)


def to_value(allowed: SearchRange, parameter: Any) -> Any:
    """The value of a setting for Optuna's parameter."""
    return parameter if allowed.grid is None else allowed.grid[parameter]


def to_parameter(allowed: SearchRange, value: Any) -> Any:
    """Optuna's parameter for a value, or for the nearest allowed value."""
    if allowed.choices is not None:
        same = [c for c in allowed.choices if repr(c) == repr(value)]
        equal = [c for c in allowed.choices if c == value]
        return (same + equal + allowed.choices)[0]
    if allowed.grid is not None:
        # Learning rates are compared by their ratio.
        scale = math.log if min(allowed.grid[0], value) > 0 else float
        gaps = [abs(scale(point) - scale(value)) for point in allowed.grid]
        return gaps.index(min(gaps))
    low, high = _ends(allowed)
    inside = min(max(value, low), high)
    return round(inside) if _whole(allowed) else float(inside)


def size(space: Space) -> float:
    """The number of points in a space, infinite if a range is continuous."""
    return math.prod(_count(allowed) for allowed in space.values())


def points(space: Space) -> Iterator[dict[str, Any]]:
    """All points of a finite space, as Optuna's parameters."""
    columns = [_parameters(distribution(allowed)) for allowed in space.values()]
    for row in itertools.product(*columns):
        yield dict(zip(space, row, strict=True))


def spread(space: Space, count: int) -> list[dict[str, Any]]:
    """The first points of Sobol's sequence in a space, as Optuna's parameters.

    Each setting by itself takes evenly spaced values (of the logarithm where its range is
    logarithmic): the first 7 points divide its range into 8 equal parts, the first 15 into 16.

    Args:
        space: path -> range.
        count: the number of points; a shorter list is the beginning of a longer one.
    """
    # The point at the lower ends of all ranges begins the sequence, and is left out.
    sequence = Sobol(len(space), scramble=False).random_base2((count + 1).bit_length())
    return [
        {
            path: _at(allowed, share)
            for (path, allowed), share in zip(space.items(), row, strict=True)
        }
        for row in sequence[1 : count + 1].tolist()
    ]


def at_edge(allowed: SearchRange, value: Any, tried: Sequence[Any]) -> bool:
    """Whether no trial went further to one side than a value, or it lies at the edge of a range.

    Choices have no edge.

    Args:
        allowed: the range or grid.
        value: the chosen value.
        tried: the values of all trials.
    """
    if allowed.choices is not None:
        return False
    if value in (min(tried), max(tried)):
        return True
    if allowed.grid is not None or _whole(allowed):
        return False
    scale = math.log if allowed.log else float
    low, high = map(scale, _ends(allowed))
    return not _EDGE <= (scale(value) - low) / (high - low) <= 1 - _EDGE


def _at(allowed, share):
    """Optuna's parameter at a share of a range, 0 <= share < 1."""
    kind = distribution(allowed)
    if isinstance(kind, CategoricalDistribution):
        return kind.choices[int(share * len(kind.choices))]
    # A whole number has a part of the range of its own.
    low, high = (kind.low, kind.high + 1) if isinstance(kind, IntDistribution) else _ends(allowed)
    value = low * (high / low) ** share if allowed.log else low + share * (high - low)
    return int(value) if isinstance(kind, IntDistribution) else value


def _ends(allowed):
    assert allowed.ends is not None, "a setting without grid or choices has a range"
    return allowed.ends


def _whole(allowed):
    return isinstance(allowed.low, int) and isinstance(allowed.high, int)


def _parameters(kind):
    """All parameters of a finite distribution."""
    if isinstance(kind, CategoricalDistribution):
        return kind.choices
    return range(kind.low, kind.high + 1)


def _count(allowed):
    listed = allowed.grid or allowed.choices
    if listed is not None:
        return len(listed)
    return allowed.high - allowed.low + 1 if _whole(allowed) else math.inf
