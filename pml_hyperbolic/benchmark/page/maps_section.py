"""The section of maps: disks, similarities of classes and to classes, and radii."""

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from ...errors import InputError, message_of
from ..plotting.embedding_set import EmbeddingSet
from ..plotting.gathering import line_set, run_config, snapshot_sets
from ..plotting.run_line import RunLine, line_of
from ..reporting.score_group import ScoreGroup
from ..results.metric_names import PRIMARY
from .section import PageFigure, Section, page_figure


def maps_section(
    groups: Sequence[ScoreGroup], baseline: ScoreGroup, twins: Collection[str]
) -> Section:
    """Return the pictures of the best hyperbolic line, or of the best line if there is none.

    A figure that cannot be drawn, of runs that kept no snapshots for example, becomes a line that
    says why.

    Args:
        groups: all lines.
        baseline: one of the lines, whose classes stand beside.
        twins: methods that are flat twins of others: controls and not contenders.
    """
    contenders = [group for group in groups if group.method not in twins] or groups
    curved = [group for group in contenders if group.space == "hyperbolic"]
    ranked = sorted(curved or contenders, key=_score, reverse=True)
    best = ranked[0]
    problems: dict[str, list[str]] = {}
    makers: list[tuple[str, Callable[[], Iterator[PageFigure | None]]]] = [
        ("the disk", lambda: (_disk(group) for group in _groups_of_disks(ranked))),
        ("the similarity of classes", lambda: iter([_affinity(best, baseline)])),
        (
            "the similarity to classes",
            lambda: iter([_similarities(_compared_losses(ranked) or [best, baseline], problems)]),
        ),
        ("the radii", lambda: iter([_radii(curved, problems)])),
    ]
    figures = []
    for name, make in makers:
        try:
            for figure in make():
                if figure is not None:
                    figures.append(figure)
        except (InputError, ImportError) as error:
            problems.setdefault(message_of(error), []).append(name)
    return Section(
        "maps",
        "Maps of the embedding",
        figures=figures,
        problems=[
            f"Not shown: {', '.join(dict.fromkeys(names))}. The reason: {reason}."
            for reason, names in problems.items()
        ],
    )


def _score(group):
    return np.mean(group.values("test", PRIMARY))


def _groups_of_disks(ranked):
    """The best line and, where it has no hierarchical proxies, the best one that has them."""
    yield ranked[0]
    if line_set(line_of(ranked[0])).hierarchical is not None:
        return
    for group in ranked[1:]:
        try:
            own = line_set(line_of(group))
        except InputError:
            continue  # the best line is what the section is about
        if own.hierarchical is not None:
            yield group
            return


def _disk(group: ScoreGroup) -> PageFigure | None:
    from ..plotting.disk import POINTS, draw_disk

    one = line_set(line_of(group))
    number = one.level(None, -1)
    shown = min(POINTS, len(one.embeddings))
    colors = len(np.unique(one.labels[:, number]))
    if one.hierarchical is None:
        told = f"There are no hierarchical proxies to show: {one.no_proxies}."
        drawn = ""
    else:
        count = len(one.proxies[one.hierarchical])
        told = (
            f"Crosses are its {count} hierarchical proxies, and arcs lead to ancestors that were "
            f"found in the embedding itself."
        )
        drawn = f" and {count} hierarchical proxies"
    return page_figure(
        draw_disk([one]),
        f"Test embeddings of {group.title} in the Poincare disk, colored by {one.levels[number]}. "
        f"UMAP places the points from their exact nearest neighbors; the true radii stand in the "
        f"strip. {told}",
        f"{shown} test embeddings of {group.title}{drawn} in a disk, in {colors} colors.",
        photographs=True,
    )


def _affinity(group: ScoreGroup, baseline: ScoreGroup) -> PageFigure:
    from ..plotting.affinity import draw_affinity

    sets = [line_set(line_of(line)) for line in _distinct([group, baseline])]
    if len(sets[0].levels) < 2:
        raise InputError("the labels have one level, so that there are no superclasses to order by")
    figure = draw_affinity(sets)
    classes, superclasses = (len(np.unique(sets[0].labels[:, level])) for level in (0, 1))
    return page_figure(
        figure,
        f"Mean similarity of every two test classes, ordered by {sets[0].levels[1]}: a method that "
        f"found the superclasses shows bright blocks on the diagonal.",
        f"Class similarities of {' and '.join(one.title for one in sets)}, {classes} classes in "
        f"{superclasses} superclasses.",
        photographs=True,
    )


def _similarities(groups: Sequence[ScoreGroup], problems: dict[str, list[str]]) -> PageFigure:
    from ..plotting.similarities import draw_similarities

    def training_set(line: RunLine) -> EmbeddingSet:
        return snapshot_sets(line, "train")[0]

    sets = _readable(groups, training_set, "the similarity to classes", problems)
    figure = draw_similarities(sets)
    names = " and ".join(one.title for one in sets)
    return page_figure(
        figure,
        f"Similarities of training images to their own class and to all other classes, by {names}, "
        f"at the selected epoch: the less the two histograms overlap, the better the classes are "
        f"told apart.",
        f"Histograms of similarities to positive and negative classes of {names}.",
    )


def _compared_losses(ranked: Sequence[ScoreGroup]) -> list[ScoreGroup]:
    """The best hyperbolic lines of CHEST with and without its Euclidean loss; none if one lacks."""
    found: dict[bool, ScoreGroup] = {}
    for group in ranked:
        if group.space == "hyperbolic":
            loss = (run_config(line_of(group).run).get("method") or {}).get("loss")
            euclidean = _has_euclidean_loss(loss)
            if euclidean is not None:
                found.setdefault(euclidean, group)
    return [found[True], found[False]] if len(found) == 2 else []


def _has_euclidean_loss(loss: object) -> bool | None:
    """Whether CHEST's Euclidean loss is part of a loss; None for losses that CHEST does not have.

    CHEST without it is ``CHESTLoss`` with the weight 0, or its hyperbolic part: SoftTriple on
    PoincareSimilarity.
    """
    if isinstance(loss, str):
        return True if loss == "CHESTLoss" else None
    if not isinstance(loss, dict):
        return None
    if "CHESTLoss" in loss:
        return (loss["CHESTLoss"] or {}).get("euclidean_weight", 1) > 0
    settings = loss.get("SoftTripleLoss") or {}
    return False if "PoincareSimilarity" in (settings.get("distance") or {}) else None


def _radii(groups: Sequence[ScoreGroup], problems: dict[str, list[str]]) -> PageFigure | None:
    from ..plotting.radii import draw_radii

    if not groups:
        return None
    sets = _readable(groups, line_set, "the radii", problems)
    return page_figure(
        draw_radii(sets),
        "Tangent norms of the test embeddings of each hyperbolic method after clipping; the line "
        "marks the clip radius, the number the share of embeddings at it.",
        f"Histograms of the tangent norms of {', '.join(one.title for one in sets)}; the shares at "
        f"the clip radius stand in the table on geometry.",
    )


def _readable(
    groups: Sequence[ScoreGroup],
    read: Callable[[RunLine], EmbeddingSet],
    name: str,
    problems: dict[str, list[str]],
) -> list[EmbeddingSet]:
    """The sets of those lines that can be read; what is wrong with others goes to ``problems``."""
    sets, reasons = [], []
    for group in _distinct(groups):
        try:
            sets.append(read(line_of(group)))
        except InputError as error:
            reasons.append(message_of(error))
    if not sets:
        raise InputError(reasons[0])
    for reason in reasons:
        problems.setdefault(reason, []).append(f"{name} of another line")
    return sets


def _distinct(groups):
    """The lines without repetition, in their order."""
    return list({id(group): group for group in groups}.values())
