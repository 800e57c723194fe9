"""EmbeddingSet: the embeddings that a figure shows, whether of a run or of a file."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ...analysis.geometry import nearest_neighbors
from ...distances import PoincareDistance
from ...errors import InputError, nearest
from ..measuring.run_contents import neighbors
from ..measuring.run_scores import EmbeddedTestSet


@dataclass(frozen=True)
class EmbeddingSet:
    """Embeddings of one space with all that is known of them.

    Args:
        title: names them in a figure.
        embeddings: (N, D), raw, as ``distance`` takes them.
        labels: (N, L) integers, the finest level first; L = 0 where there are none.
        levels: names of the L levels.
        distance: the geometry; None for embeddings that are compared by cosine.
        names: for each level label -> name.
        image: the image of a row; None where images cannot be shown.
        no_image: why not.
        proxies: name -> (P, D) proxies in the same space.
        proxy_labels: name -> (P,) class of each, None for proxies that belong to no class.
        proxy_distances: name -> what the loss compares them with embeddings by; None for cosine.
        no_proxies: why there are none.
        query: (Q,) rows that are queries. Default all.
        gallery: (G,) rows that are searched. Default None: a query is searched among the others.
        scores: (Q,) average precision of each query; None where it is not stored.
        epoch: of the training, None where it is not known.
    """

    title: str
    embeddings: torch.Tensor
    labels: np.ndarray
    levels: tuple[str, ...]
    distance: PoincareDistance | None
    names: list[dict[int, str]] = field(default_factory=list)
    image: Callable[[int], Any] | None = None
    no_image: str = ""
    proxies: Mapping[str, torch.Tensor] = field(default_factory=dict)
    proxy_labels: Mapping[str, np.ndarray | None] = field(default_factory=dict)
    proxy_distances: Mapping[str, PoincareDistance | None] = field(default_factory=dict)
    no_proxies: str = ""
    query: np.ndarray | None = None
    gallery: np.ndarray | None = None
    scores: np.ndarray | None = None
    epoch: int | None = None

    def level(self, name: str | None, default: int) -> int:
        """Return the number of a level of the labels.

        Args:
            name: of the level; None for the default.
            default: number of the level, counted from the end if negative. A number beyond the
                levels is that of a superclass which is missing.

        Raises:
            InputError: there is no such level.
        """
        count = len(self.levels)
        if count == 0:
            raise InputError(f"{self.title} has no labels: give a file with an array 'labels'")
        if name is None:
            number = count + default if default < 0 else default
            if number >= count:
                raise InputError(
                    f"{self.title} has no superclasses, only the level {self.levels[0]}: this "
                    f"figure needs a data set with a coarser level, or a file with an array "
                    f"'superclasses'"
                )
            return number
        if name not in self.levels:
            raise InputError(f"{self.title} has no level {name!r}: {nearest(name, self.levels)}")
        return self.levels.index(name)

    def groups(self, level: int) -> tuple[np.ndarray, list[str]]:
        """Return (N,) groups of the rows from 0 without gaps, and their names by number."""
        values, groups = np.unique(self.labels[:, level], return_inverse=True)
        return groups, [self.name(level, value) for value in values.tolist()]

    def name(self, level: int, label: int) -> str:
        """Return the name of a label."""
        names = self.names[level] if level < len(self.names) else {}
        return names.get(int(label), f"{self.levels[level]} {label}")

    def needed_image(self) -> Callable[[int], Any]:
        """Return ``image``.

        Raises:
            InputError: there are no images; the message says why.
        """
        if self.image is None:
            raise InputError(f"{self.title}: this figure needs images, and {self.no_image}")
        return self.image

    @property
    def hierarchical(self) -> str | None:
        """Name of the proxies that belong to no class, such as HIER's; None without any."""
        return next((name for name, own in self.proxy_labels.items() if own is None), None)

    @property
    def of_classes(self) -> str | None:
        """Name of the proxies that belong to classes; None without any."""
        return next((name for name, own in self.proxy_labels.items() if own is not None), None)

    def found(self, k: int) -> np.ndarray:
        """Return (Q, k) rows nearest to each query, nearest first; fewer where there are fewer."""
        if self.gallery is None and self.query is None:
            k = min(k, len(self.embeddings) - 1)
            return nearest_neighbors(self.embeddings, k, self.distance)[1]
        return neighbors(
            EmbeddedTestSet(
                self.embeddings,
                torch.from_numpy(self.labels),
                np.arange(len(self.embeddings)),
                self.queries,
                self.gallery,
            ),
            self.distance,
            k,
        )

    @property
    def queries(self) -> np.ndarray:
        """(Q,) rows that are queries."""
        return np.arange(len(self.embeddings)) if self.query is None else self.query


def title_beside(title: str, others: Container[str]) -> str:
    """Return a title that differs from others, with a number behind it where it has to.

    Args:
        title: of a set of embeddings.
        others: titles of the sets that stand in the figure already.
    """
    number, unlike = 1, title
    while unlike in others:
        number += 1
        unlike = f"{title}, {number}"
    return unlike
