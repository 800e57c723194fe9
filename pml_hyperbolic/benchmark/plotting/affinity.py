"""Similarities of classes, of one embedding or of two side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...analysis import class_similarities, similarity_name
from ...errors import InputError, nearest
from ...visualize.affinity import affinity
from .embedding_set import EmbeddingSet, title_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_affinity(sets: Sequence[EmbeddingSet], *, level: str | None = None) -> "Figure":
    """Draw the mean similarity of every two classes, ordered by superclass.

    Args:
        sets: embeddings of the same classes by one method or two.
        level: of the superclasses. Default: the one above the classes.

    Raises:
        InputError: there are no superclasses, fewer than two classes, or the sets have different
            classes.
    """
    first = sets[0]
    number = first.level(level, 1)
    if number == 0:
        raise InputError(
            f"--level {first.levels[0]} is the level of the classes themselves: "
            f"{nearest('', first.levels[1:])}"
        )
    classes, rows = np.unique(first.labels[:, 0], return_index=True)
    if len(classes) < 2:
        raise InputError(f"{first.title} has one class only: affinity compares at least two")
    present, superclasses = np.unique(first.labels[rows, number], return_inverse=True)
    matrices: dict[str, np.ndarray] = {}
    scales: dict[str, str] = {}
    for one in sets:
        if not np.array_equal(np.unique(one.labels[:, 0]), classes):
            raise InputError(
                f"{first.title} and {one.title} have different classes, which have no similarities "
                f"to compare: name two of the same split"
            )
        title = title_beside(one.title, matrices)
        matrices[title] = class_similarities(one.embeddings, one.labels[:, 0], one.distance)[1]
        scales[title] = similarity_name(one.distance)
    return affinity(
        matrices,
        superclasses,
        superclass_names=[first.name(number, value) for value in present],
        class_names=[first.name(0, value) for value in classes],
        similarity_names=scales,
    )
