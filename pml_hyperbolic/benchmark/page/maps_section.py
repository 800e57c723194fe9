"""The section of maps: a disk of the embedding, similarities of classes, and radii."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ...analysis import class_similarities
from ...analysis.geometry import share_of_limit
from ...errors import InputError
from ..measuring.run_contents import distance_of, test_set
from ..plotting.data_images import DataImages
from ..reporting.score_group import ScoreGroup
from ..results.metric_names import PRIMARY
from .section import PageFigure, Section, page_figure

# More points than this hide each other in a disk of a page's width.
_POINTS = 2000


def maps_section(
    groups: Sequence[ScoreGroup], baseline: ScoreGroup, images: DataImages | None
) -> Section:
    """Return the pictures of the best hyperbolic line, or of the best line if there is none.

    Args:
        groups: all lines.
        baseline: one of the lines, whose classes stand beside.
        images: of the data set, which has the names of classes; None if they cannot be read.
    """
    curved = [group for group in groups if group.space == "hyperbolic"]
    best = max(curved or groups, key=lambda group: np.mean(group.values("test", PRIMARY)))
    figures, problems = [], []
    makers: list[Callable[[], PageFigure | None]] = [
        lambda: _disk(best, images),
        lambda: _affinity(best, baseline, images),
        lambda: _radii(curved),
    ]
    for make in makers:
        try:
            figure = make()
        except (InputError, ImportError) as error:
            problems.append(" ".join(str(error).split()))
        else:
            if figure is not None:
                figures.append(figure)
    return Section("maps", "Maps of the embedding", figures=figures, problems=problems)


def _disk(group, images):
    from ...visualize.disk import disk
    from ...visualize.disk_layout import disk_frames

    key = min(group.runs)
    row = group.rows[key]
    tests = test_set(group.runs[key], group.space)
    order = torch.randperm(len(tests.embeddings), generator=torch.Generator().manual_seed(0))
    chosen = order[:_POINTS].sort().values
    labels = tests.labels[chosen]
    level = labels.shape[1] - 1
    present, groups = np.unique(labels[:, level].numpy(), return_inverse=True)
    names = _names(images, tests, level, present)
    frames = disk_frames([tests.embeddings[chosen]], distance=distance_of(row))
    figure = disk(frames, groups, group_names=names, title=group.title)
    name = row.levels[level] if level < len(row.levels) else "class"
    caption = (
        f"Test embeddings of {group.title} in the Poincare disk, colored by {name}. UMAP places "
        f"the points from their exact nearest neighbors; the true radii stand in the strip."
    )
    return page_figure(
        figure,
        caption,
        f"{len(chosen)} test embeddings of {group.title} in a disk, in {groups.max() + 1} colors.",
        photographs=True,
    )


def _affinity(group, baseline, images):
    from ...visualize.affinity import affinity

    key = min(group.runs)
    tests = test_set(group.runs[key], group.space)
    labels = tests.labels.numpy()
    if labels.shape[1] < 2:
        return None
    classes, first, own = np.unique(labels[:, 0], return_index=True, return_inverse=True)
    present, superclasses = np.unique(labels[first, 1], return_inverse=True)
    lines = [group] if group is baseline else [group, baseline]
    matrices = {}
    for line in lines:
        one = min(line.runs)
        embeddings = test_set(line.runs[one], line.space).embeddings
        matrices[line.title] = class_similarities(embeddings, own, distance_of(line.rows[one]))[1]
    names = _names(images, tests, 1, present)
    figure = affinity(matrices, superclasses, superclass_names=names)
    level = group.rows[key].levels[1]
    caption = (
        f"Mean similarity of every two test classes, ordered by {level}: a method that found the "
        f"superclasses shows bright blocks on the diagonal."
    )
    return page_figure(
        figure,
        caption,
        f"Class similarities of {' and '.join(matrices)}, {len(classes)} classes in "
        f"{superclasses.max() + 1} superclasses.",
        photographs=True,
    )


def _names(images, tests, level, present):
    """The names of these labels of a level; None where the data set is not at hand."""
    if images is None:
        return None
    named = images.names_of(tests.labels.numpy(), tests.indices)[level]
    return [named[int(label)] for label in present]


def _radii(groups):
    from ...visualize.radii import radii, radius_histograms

    norms, names, near, limit = [], [], [], None
    for group in groups:
        key = min(group.runs)
        distance = distance_of(group.rows[key])
        if distance is None or distance.inputs != "tangent":
            continue
        lengths = test_set(group.runs[key], group.space).embeddings.norm(dim=1)
        if distance.clip_radius is not None:
            limit = distance.clip_radius if limit is None else max(limit, distance.clip_radius)
            lengths = distance.clipped_norm(lengths)
        norms.append(lengths.numpy())
        near.append(share_of_limit(distance))
        names.append(group.method)
    if not norms:
        return None
    counts, edges, saturated = radius_histograms(norms, limit=limit, near=near)
    figure = radii(
        counts,
        edges,
        names,
        limit=limit,
        saturated=saturated.tolist(),
        radius_name="tangent norm",
        row_name="",
    )
    return page_figure(
        figure,
        "Tangent norms of the test embeddings of each hyperbolic method after clipping; the line "
        "marks the clip radius, the number the share of embeddings at it.",
        "; ".join(
            f"{n}: {s:.0%} at the clip radius" for n, s in zip(names, saturated, strict=True)
        ),
    )
