"""Similarities of training images to their own and to other classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...analysis import class_means, similarity_name
from ...analysis.geometry import distance_to_similarity, mapped_points, point_distances
from ...errors import InputError
from ...visualize.similarities import SimilaritySplit, similarities, split_similarities
from .embedding_set import EmbeddingSet, title_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_similarities(
    sets: Sequence[EmbeddingSet], *, batch: int = 512, random_seed: int = 0
) -> "Figure":
    """Draw the similarities of a batch to positive and negative classes, a panel a method.

    The similarity to a class is that to its most similar proxy or, where a method learns no
    proxies of classes, that to the mean of the class.

    Args:
        sets: training embeddings of one method or several.
        batch: number of images, drawn at random. Default 512.
        random_seed: of that draw.

    Raises:
        InputError: there are no labels, or one class only.
    """
    models: dict[str, SimilaritySplit] = {}
    names: dict[str, list[str]] = {}
    for one in sets:
        title = title_beside(one.title, models)
        models[title], name = _split(one, batch, random_seed)
        names.setdefault(name, []).append(title)
    if len(names) == 1:
        return similarities(models, similarity_name=name)
    told = (f"{', '.join(titles)}: {name}." for name, titles in names.items())
    return similarities(models, remark=" ".join(told))


def _split(one: EmbeddingSet, batch: int, random_seed: int) -> tuple[SimilaritySplit, str]:
    one.level(None, 0)
    labels = one.labels[:, 0]
    classes = np.unique(labels)
    if len(classes) < 2:
        raise InputError(f"{one.title} has one class only: there is no negative class")
    name, distance = one.of_classes, one.distance
    if name is None:
        classes, centers = class_means(one.embeddings, labels, distance)
        own, what = classes, "class mean"
    else:
        distance = one.proxy_distances[name]
        centers = mapped_points(one.proxies[name], distance, name="proxies")
        own, what = np.asarray(one.proxy_labels[name]), "nearest proxy of the class"
        classes = np.unique(own)
    rows = np.random.default_rng(random_seed).permutation(len(labels))
    rows = np.sort(rows[np.isin(labels[rows], classes)][:batch])
    points = mapped_points(one.embeddings[rows], distance)
    near = distance_to_similarity(point_distances(points, centers, distance), distance)
    columns = [near[:, torch.from_numpy(own == label)].max(dim=1).values for label in classes]
    targets = np.searchsorted(classes, labels[rows])
    split = split_similarities(torch.stack(columns, dim=1).numpy(), targets)
    return split, f"{similarity_name(distance)} to the {what}"
