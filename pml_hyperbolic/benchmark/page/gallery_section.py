"""The section of pictures: queries that a method wins and loses against the baseline."""

from collections.abc import Sequence

import numpy as np

from ...errors import InputError
from ..measuring.run_contents import distance_of, neighbors, test_set
from ..plotting.data_images import DataImages
from ..reporting.score_group import ScoreGroup, common_keys
from ..results.metric_names import PRIMARY
from .section import PageFigure, Section, page_figure

_RESULTS = 6


def gallery_section(
    groups: Sequence[ScoreGroup], baseline: ScoreGroup, images: DataImages | None, problem: str
) -> Section:
    """Return the largest wins and losses of the best other line, and queries drawn at random.

    Args:
        groups: all lines.
        baseline: one of the lines.
        images: of the data set; None if they cannot be read.
        problem: why not.
    """
    title = "Wins and losses"
    if images is None:
        return Section("gallery", title, problems=[problem])
    others = [g for g in groups if g is not baseline and common_keys((g, baseline))]
    if not others:
        return Section("gallery", title)
    best = max(others, key=lambda group: np.mean(group.values("test", PRIMARY)))
    try:
        figure = _figure(best, baseline, images)
    except InputError as error:
        return Section("gallery", title, problems=[str(error)])
    return Section(
        "gallery",
        title,
        sentences=[
            f"{best.title} is the best line besides the baseline. Shown are the queries on which "
            f"its average precision exceeds that of {baseline.title} most, those on which it falls "
            f"behind most, and queries drawn at random: none is picked by hand."
        ],
        figures=[figure],
    )


def _figure(group: ScoreGroup, baseline: ScoreGroup, images: DataImages) -> PageFigure:
    from ...visualize.retrieval import choose_queries, retrieval

    key = min(common_keys((group, baseline)))
    scores = []
    for line in (group, baseline):
        values = line.runs[key].query_scores(line.space, PRIMARY)
        if values is None:
            raise InputError(f"{line.runs[key].folder} stored no scores of its queries")
        scores.append(values.astype(float))
    finite = np.flatnonzero(np.isfinite(scores[0]) & np.isfinite(scores[1]))
    if not len(finite):
        raise InputError("no query has another image of its class to find")
    chosen = choose_queries(*(values[finite] for values in scores))
    sets = {line.title: test_set(line.runs[key], line.space) for line in (group, baseline)}
    found = {}
    for line in (group, baseline):
        tests = sets[line.title]
        rows = neighbors(tests, distance_of(line.rows[key]), _RESULTS)
        found[line.title] = rows[finite[chosen.indices]]
    tests = sets[group.title]
    labels = tests.labels[:, 0].numpy()
    rows = tests.query[finite[chosen.indices]]
    names = images.names_of(tests.labels.numpy(), tests.indices)[0]
    figure = retrieval(
        rows,
        found,
        labels,
        labels,
        lambda row: images(tests.indices[row]),
        reasons=chosen.reasons,
        class_names=[names.get(label, str(label)) for label in range(int(labels.max()) + 1)],
    )
    caption = (
        f"Queries (black frames) and their {_RESULTS} nearest images by {group.title} and by "
        f"{baseline.title}; a solid blue frame marks the right class, a dashed orange one a wrong "
        f"class. Fold {key[0]}, seed {key[1]}."
    )
    alternative = f"Retrieval results of {len(rows)} queries: {'; '.join(chosen.reasons)}."
    return page_figure(figure, caption, alternative, photographs=True)
