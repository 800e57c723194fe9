"""Geometry and hierarchy of the lines of a report, measured on their runs' test embeddings."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import InputError
from ..results.finished_run import FinishedRun
from ..results.run_files import EMBEDDINGS_FILE, MEASURES_FILE
from ..results.run_measures import (
    CLASS_MEANS,
    ONE_LEVEL,
    GeometryMeasures,
    HierarchyMeasure,
    RunMeasures,
    SpaceMeasures,
    read_measures,
)
from .cells import NOTHING
from .score_group import Key, ScoreGroup, repetitions
from .statistics import Interval, mean_interval
from .tables import Passage, Table

_GEOMETRY_HEADER = [
    "method",
    "space",
    "c",
    "clip radius",
    "at clip radius",
    "mean radius",
    "spread of radii",
    "shared with cosine",
    "Gromov delta",
    "suggested c",
]
_NO_NEIGHBORS = (
    f"the nearest neighbors, which earlier versions left out where there is a gallery; remove the "
    f"{MEASURES_FILE} of these runs to have them measured"
)
# Kind of a measure -> its title.
_TITLES = {
    "dendrogram_purity": "purity",
    "tree_correlation": "correlation",
    "superclass_share": "top 10 within",
    "superclass_share_of_other_classes": "others of top 10 within",
    "neighbor_tree_distance": "tree distance of top 10",
}


@dataclass(frozen=True)
class MeasuredLine:
    """A line of a report with the measures of its runs.

    Args:
        group: the line.
        spaces: (fold, seed) -> measures, of the runs that could be measured.
        problems: what could not be measured, one sentence each.
    """

    group: ScoreGroup
    spaces: dict[Key, SpaceMeasures] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def geometry(self) -> GeometryMeasures | None:
        """The mean over all runs; None if no run was measured."""
        found = [one.geometry for one in self.spaces.values() if one.geometry is not None]
        if not found:
            return None
        deltas = [one.relative_delta for one in found if one.relative_delta is not None]
        curvatures = [one.suggested_c for one in found if one.suggested_c is not None]
        starts = {one.starts_inside for one in found}
        return GeometryMeasures(
            saturation=statistics.fmean(one.saturation for one in found),
            mean_radius=statistics.fmean(one.mean_radius for one in found),
            radius_spread=statistics.fmean(one.radius_spread for one in found),
            cosine_agreement=statistics.fmean(one.cosine_agreement for one in found),
            neighbors=found[0].neighbors,
            relative_delta=statistics.fmean(deltas) if deltas else None,
            suggested_c=statistics.fmean(curvatures) if curvatures else None,
            starts_inside=starts.pop() if len(starts) == 1 else None,
        )

    @property
    def trees(self) -> list[str]:
        """Names of the trees that any run has."""
        return list(dict.fromkeys(name for one in self.spaces.values() for name in one.trees))

    def hierarchy(self, tree: str) -> dict[str, tuple[Interval, float]]:
        """Return the measures of a tree: name -> (interval over seeds, mean of random trees).

        Args:
            tree: its name. Measures of the neighbors stand with the class means.
        """
        of_run = {key: _of_tree(one, tree) for key, one in self.spaces.items()}
        names = dict.fromkeys(name for measures in of_run.values() for name in measures)
        found = {}
        for name in names:
            keys = [key for key, measures in of_run.items() if name in measures]
            values = [
                statistics.fmean(of_run[key][name].value for key in repetition)
                for repetition in repetitions(keys)
            ]
            random = statistics.fmean(of_run[key][name].random_mean for key in keys)
            found[name] = mean_interval(values), random
        return found


def measured_lines(groups: Sequence[ScoreGroup]) -> list[MeasuredLine]:
    """Read the measures of all runs; those of runs that did not store them are computed.

    Args:
        groups: all lines.
    """
    known: dict[int, RunMeasures | InputError] = {}
    lines = []
    for group in groups:
        spaces, problems = {}, []
        for key, run in sorted(group.runs.items(), key=lambda item: item[0]):
            if id(run) not in known:
                known[id(run)] = _measures_or_reason(run)
            measures = known[id(run)]
            if isinstance(measures, InputError):
                problems.append(str(measures))
            elif group.space in measures.spaces:
                spaces[key] = measures.spaces[group.space]
                problems += spaces[key].problems
                if spaces[key].trees.get(CLASS_MEANS) and not spaces[key].neighbors:
                    problems.append(_NO_NEIGHBORS)
        lines.append(MeasuredLine(group, spaces, problems))
    return lines


def geometry_passage(lines: Sequence[MeasuredLine], twins: Collection[str]) -> Passage | None:
    """Return the facts on every hyperbolic line, with one sentence each.

    Args:
        lines: all lines.
        twins: methods that are flat twins of others.

    Returns:
        The passage; None if no line is hyperbolic.
    """
    lines = [line for line in lines if line.group.space == "hyperbolic"]
    if not lines:
        return None
    rows, sentences, unmeasured = [], [], []
    for line in lines:
        measures = line.geometry
        if measures is None:
            unmeasured.append(line)
            continue
        geometry = line.group.first.geometry
        clip = None if geometry is None else geometry.clip_radius
        rows.append(
            [
                line.group.method,
                line.group.space,
                _number(None if geometry is None else geometry.c, "g"),
                _number(clip, "g") + (" (smooth)" if _is_smooth(geometry) else ""),
                f"{measures.saturation:.0%}",
                f"{measures.mean_radius:.2f}",
                f"{measures.radius_spread:.1%}",
                f"{measures.cosine_agreement:.1%}",
                _number(measures.relative_delta, ".3f"),
                _number(measures.suggested_c, ".2g"),
            ]
        )
        sentences.append(f"{line.group.title}: {measures.sentence}")
    if rows:
        sentences.append(
            "Means over all runs, on their test embeddings: share of points at the clip radius; "
            "mean tangent norm, and the standard deviation of these norms over their mean; share "
            "of the 10 nearest neighbors that cosine finds too; Gromov's delta relative to the "
            "diameter (0 for a tree), and the curvature that it suggests."
        )
        if any(_is_smooth(line.group.first.geometry) for line in lines):
            sentences.append(
                "Where the clip is smooth, a point counts as being at the clip radius if its "
                "tangent norm after clipping is within 1 % of it."
            )
        if not twins:
            sentences.append(
                "Whether a gain comes from the curvature is not known without flat twins "
                "(curvature_control: true in the config adds them)."
            )
    return Passage(
        "Is it hyperbolic at all?",
        sentences=sentences,
        tables=[Table("", _GEOMETRY_HEADER, rows)] if rows else [],
        problems=_grouped_problems(unmeasured),
    )


def hierarchy_passage(lines: Sequence[MeasuredLine]) -> Passage:
    """Return the agreement of every line with the true superclasses, beside random trees.

    Args:
        lines: all lines.
    """
    found = [(line, tree, line.hierarchy(tree)) for line in lines for tree in line.trees]
    names = list(dict.fromkeys(name for *_, measures in found for name in measures))
    rows = [
        [
            line.group.method,
            line.group.space,
            tree,
            *(_measure_cell(measures.get(name)) for name in names),
        ]
        for line, tree, measures in found
    ]
    header = ["method", "space", "tree", *map(_measure_title, names)]
    sentences = [
        "Class means are clustered by average linkage in each embedding's own geometry; learned "
        "ancestors are HIER's hierarchical proxies over the same means; decoded proxies are the "
        "tree that CHEST's proxies encode. Purity is dendrogram purity and correlation is that of "
        "ranked tree distances, both against the true superclasses. Means with 95% t-intervals "
        "over seeds; in brackets the mean over random trees of the same shape, which a useful "
        "hierarchy exceeds (and whose tree distance it undercuts)."
    ]
    return Passage(
        "Hierarchy found",
        sentences=sentences if rows else [],
        tables=[Table("", header, rows)] if rows else [],
        problems=_grouped_problems(lines),
    )


def measured_numbers(line: MeasuredLine) -> dict[str, float]:
    """Return the numbers of a line for report.csv; those that are not known are left out.

    Args:
        line: of the report.
    """
    numbers: dict[str, float] = {}
    geometry = line.geometry
    if geometry is not None:
        values = geometry.model_dump(exclude={"neighbors", "starts_inside"})
        numbers |= {name: value for name, value in values.items() if value is not None}
    for tree in line.trees:
        for name, (interval, random) in line.hierarchy(tree).items():
            key = f"{tree}: {name}"
            numbers |= {
                key: interval.mean,
                f"{key}_half_width": interval.half_width,
                f"{key}_random": random,
            }
    return numbers


def _measures_or_reason(run: FinishedRun) -> RunMeasures | InputError:
    """Return the measures of a run; computing them needs torch, reading them does not."""
    damage = None
    try:
        return read_measures(run.folder / MEASURES_FILE)
    except InputError as error:
        damage = error
    except FileNotFoundError:
        pass
    if all(row.space != "hyperbolic" and len(row.levels) < 2 for row in run.rows):
        problems = [] if not run.first.levels else [ONE_LEVEL]
        return RunMeasures(spaces={row.space: SpaceMeasures(problems=problems) for row in run.rows})
    if not (run.folder / EMBEDDINGS_FILE).is_file():
        return damage or InputError(
            f"the run did not keep {EMBEDDINGS_FILE}: run it again to measure it"
        )
    from ..measuring.run_measures import measures_of

    try:
        return measures_of(run)
    except InputError as error:
        return error


def _of_tree(measures: SpaceMeasures, tree: str) -> Mapping[str, HierarchyMeasure]:
    near = measures.neighbors if tree == CLASS_MEANS else {}
    return {**measures.trees.get(tree, {}), **near}


def _grouped_problems(lines):
    """One sentence for each problem, with the lines that have it."""
    titles: dict[str, list[str]] = {}
    for line in lines:
        # The same happens to all runs of a method, usually: the first says it.
        for problem in line.problems[:1]:
            titles.setdefault(problem, []).append(line.group.title)
    return [
        f"Not measured: {problem}."
        if len(of) == len(lines)
        else f"Not measured for {', '.join(of)}: {problem}."
        for problem, of in titles.items()
    ]


def _measure_title(name):
    kind, _, level = name.partition("/")
    title = _TITLES.get(kind, kind)
    if not level:
        return title
    return f"{title} {level}" if kind.startswith("superclass") else f"{title} ({level})"


def _measure_cell(measured):
    if measured is None:
        return NOTHING
    (mean, half_width, _), random = measured
    interval = "" if half_width != half_width else f" ± {half_width:.2f}"
    return f"{mean:.2f}{interval} ({random:.2f})"


def _is_smooth(geometry):
    return geometry is not None and geometry.clip == "smooth"


def _number(value, form):
    return NOTHING if value is None else f"{value:{form}}"
