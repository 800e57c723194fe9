"""The metrics of a benchmark: their keys in rows and in queries.npz, and their titles in tables."""

import re
from collections.abc import Iterable

PRECISION_AT_1 = "precision_at_1"
R_PRECISION = "r_precision"
MAP_AT_R = "mean_average_precision_at_r"
# The one list of metrics that every run is scored by. A protocol may add recall at K.
METRICS = (PRECISION_AT_1, R_PRECISION, MAP_AT_R)
# The metric that selects checkpoints by default, and in which reports compare methods.
PRIMARY = MAP_AT_R
# Key in rows -> title in tables.
TITLES = {PRECISION_AT_1: "R@1", R_PRECISION: "R-Precision", MAP_AT_R: "MAP@R"}
# Key in rows -> key in queries.npz, which holds the score of each query instead of the mean.
QUERY_KEYS = {
    PRECISION_AT_1: "precision_at_1",
    R_PRECISION: "r_precision",
    MAP_AT_R: "average_precision_at_r",
}
_RECALL = re.compile(r"recall_at_([1-9]\d*)")
_RECALL_TITLE = re.compile(r"R@([1-9]\d*)")


def metric_title(key: str) -> str:
    """Return the title of a metric in tables."""
    k = recall_k(key)
    return f"R@{k}" if k is not None else TITLES.get(key, key)


def metric_key(name: str) -> str | None:
    """Return the key of a metric that is given by its key or its title; None if it is unknown.

    Recall at 1 equals precision at 1: the nearest neighbour either matches or does not.
    """
    if name in ("R@1", recall_key(1)):
        return PRECISION_AT_1
    if name in TITLES or recall_k(name) is not None:
        return name
    found = _RECALL_TITLE.fullmatch(name)
    if found:
        return recall_key(int(found[1]))
    return {title: key for key, title in TITLES.items()}.get(name)


def recall_key(k: int) -> str:
    """Return the key of recall at ``k``, for ``k`` >= 1."""
    return f"recall_at_{k}"


def recall_k(key: str) -> int | None:
    """Return K if the key is that of recall at K, else None."""
    found = _RECALL.fullmatch(key)
    return int(found[1]) if found else None


def recall_keys(keys: Iterable[str]) -> list[str]:
    """Return the keys of recall at K > 1 among ``keys``, ordered by K."""
    by_k = {k: key for key in keys if (k := recall_k(key)) is not None}
    return [by_k[k] for k in sorted(by_k) if k > 1]
