"""Names of metrics: as rows hold them, as papers print them, as queries.npz calls them."""

import re

PRIMARY = "mean_average_precision_at_r"
# Key in rows -> title in tables.
TITLES = {
    "precision_at_1": "R@1",
    "r_precision": "R-Precision",
    PRIMARY: "MAP@R",
}
# Key in rows -> key in queries.npz, where a query has no mean.
QUERY_KEYS = {
    "precision_at_1": "precision_at_1",
    "r_precision": "r_precision",
    PRIMARY: "average_precision_at_r",
}
_RECALL = re.compile(r"recall_at_([1-9]\d*)")
_RECALL_TITLE = re.compile(r"R@([1-9]\d*)")


def metric_title(key: str) -> str:
    """What a table calls a metric of the rows."""
    found = _RECALL.fullmatch(key)
    return f"R@{found[1]}" if found else TITLES.get(key, key)


def metric_key(name: str) -> str | None:
    """The key in the rows of a metric given by key or by title, None for an unknown one.

    Recall at 1 is precision at 1: a nearest neighbour is right or it is not.
    """
    if name in ("R@1", "recall_at_1"):
        return "precision_at_1"
    if name in TITLES or _RECALL.fullmatch(name):
        return name
    found = _RECALL_TITLE.fullmatch(name)
    if found:
        return f"recall_at_{found[1]}"
    return {title: key for key, title in TITLES.items()}.get(name)


def recall_keys(keys) -> list[str]:
    """The recalls among these keys beyond the first neighbour, by their K."""
    at = {int(found[1]): key for key in keys if (found := _RECALL.fullmatch(key))}
    return [at[k] for k in sorted(at) if k > 1]
