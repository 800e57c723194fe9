"""The section on levels of labels, and on whether an embedding found the hierarchy."""

from collections.abc import Sequence

import numpy as np

from ...analysis import agglomerative_tree, class_distances, measure_neighbors, measure_tree
from ...errors import InputError
from ..measuring.run_contents import distance_of, neighbors, test_set
from ..reporting.score_group import ScoreGroup
from ..reporting.statistics import mean_interval
from ..reporting.tables import Table
from .section import Section

_NEIGHBORS = 10
# Random trees to compare with: the interval of 200 is stable, a report cannot wait for more.
_DRAWS = 100
_TITLES = {
    "tree_correlation": "correlation with the true tree",
    "neighbor_tree_distance": "tree distance of neighbors",
    "dendrogram_purity": "dendrogram purity",
    "superclass_share": f"top {_NEIGHBORS} within",
    "superclass_share_of_other_classes": f"top {_NEIGHBORS} of other classes within",
}


def hierarchy_section(groups: Sequence[ScoreGroup], levels_table: Table | None) -> Section:
    """Return the scores on coarser levels, and measures of the hierarchy of every line.

    Args:
        groups: all lines.
        levels_table: of the scores on coarser levels, None if there are none.
    """
    if levels_table is None:
        return Section(
            "hierarchy",
            "Levels and hierarchy",
            problems=[
                "The labels have one level: whether an embedding found a hierarchy cannot be "
                "measured without superclasses."
            ],
        )
    tables, problems = [levels_table], []
    measured = {}
    for group in groups:
        try:
            measured[group.title] = _measure(group)
        except InputError as error:
            problems.append(f"{group.title}: {error}")
    names = list(dict.fromkeys(name for values in measured.values() for name in values))
    if names:
        rows = [
            [title, *(_cell(values.get(name)) for name in names)]
            for title, values in measured.items()
        ]
        tables.append(
            Table(
                "Hierarchy of the class means (in brackets: random trees)",
                ["method", *map(_title, names)],
                rows,
            )
        )
    return Section(
        "hierarchy",
        "Levels and hierarchy",
        sentences=[
            "Class means are clustered by average linkage in each embedding's own geometry and the "
            "dendrogram is compared with the true superclasses; the neighbors of every query are "
            "counted by superclass. Means with 95% t-intervals over seeds; in brackets the mean "
            "over random trees of the same shape, which a useful hierarchy exceeds (and whose tree "
            "distance it undercuts)."
        ],
        tables=tables,
        problems=problems,
    )


def _measure(group):
    """Return name -> (values over runs, mean over random trees)."""
    values: dict[str, list[float]] = {}
    random: dict[str, list[float]] = {}
    for key in sorted(group.runs):
        run, row = group.runs[key], group.rows[key]
        distance = distance_of(row)
        tests = test_set(run, group.space)
        labels = tests.labels.numpy()
        classes, first, own = np.unique(labels[:, 0], return_index=True, return_inverse=True)
        if len(classes) < 3:
            raise InputError("fewer than three test classes have no hierarchy to measure")
        levels = {
            name: labels[first, 1 + i] for i, name in enumerate(row.levels[1 : labels.shape[1]])
        }
        tree = agglomerative_tree(class_distances(tests.embeddings, own, distance)[1])
        found = neighbors(tests, distance, _NEIGHBORS)
        results = measure_tree(tree, levels, draws=_DRAWS)
        if tests.gallery is None:
            results |= measure_neighbors(found, own, levels, draws=_DRAWS)
        for name, result in results.items():
            values.setdefault(name, []).append(result.value)
            random.setdefault(name, []).append(result.random_mean)
    return {name: (values[name], float(np.mean(random[name]))) for name in values}


def _title(name):
    kind, _, level = name.partition("/")
    title = _TITLES.get(kind, kind)
    return (
        f"{title} {level}".strip()
        if kind.startswith("superclass")
        else (f"{title} ({level})" if level else title)
    )


def _cell(measured):
    if measured is None:
        return "-"
    values, random = measured
    mean, half_width, _ = mean_interval(values)
    interval = "" if half_width != half_width else f" ± {half_width:.3f}"
    return f"{mean:.3f}{interval} ({random:.3f})"
