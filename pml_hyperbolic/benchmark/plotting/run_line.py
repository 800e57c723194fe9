"""RunLine: one run in one of its spaces, and which of them a figure shows."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import InputError, nearest
from ..reporting.benchmark_results import BenchmarkResults
from ..reporting.comparison import choose_baseline
from ..reporting.score_group import ScoreGroup, score_groups
from ..results.finished_run import FinishedRun
from ..results.metric_names import PRIMARY
from ..results.row import Row


class RunLine(NamedTuple):
    """One run in one of its spaces.

    Attributes:
        run: a finished run.
        space: "euclidean" or "hyperbolic".
        title: names it in a figure.
    """

    run: FinishedRun
    space: str
    title: str

    @property
    def row(self) -> Row:
        """The run's scores in this space."""
        return next(row for row in self.run.rows if row.space == self.space)

    @property
    def columns(self) -> slice:
        """The columns of the run's embeddings that are of this space."""
        return self.run.columns(self.space)


def chosen_lines(
    folder: Path,
    *,
    most: int,
    space: str | None = None,
    seed: int | None = None,
    baseline: str | None = None,
) -> list[RunLine]:
    """Return the runs of a folder that a figure shows.

    Of several methods these are the one with the highest mean MAP@R on the test classes, among
    hyperbolic ones if there are any, and the baseline as the second.

    Args:
        folder: of a benchmark, a method or a run.
        most: 1 or 2 runs.
        space: of the best method. Default: the hyperbolic one where there is one. The baseline is
            in the space that ``baseline`` names, by default in its Euclidean one.
        seed: of the runs. Default: the lowest.
        baseline: as for :func:`~..reporting.comparison.choose_baseline`.

    Raises:
        InputError: the folder has no such runs.
    """
    results = BenchmarkResults.read([folder])
    every = score_groups(results)
    groups = lines_in(every, space, folder)
    contenders = [group for group in groups if group.method not in results.twins] or groups
    curved = [group for group in contenders if group.space == "hyperbolic"] or contenders
    best = max(curved, key=lambda group: np.mean(group.values("test", PRIMARY)))
    chosen = [best]
    if most > 1 and len(groups) > 1:
        reference, _ = choose_baseline(every, baseline, results.baseline)
        if reference is best:
            # The best method is the baseline itself: it is compared with the next best one.
            others = [group for group in contenders if group is not best] or [best]
            reference = max(others, key=lambda group: np.mean(group.values("test", PRIMARY)))
        chosen.append(reference)
    return [line_of(group, seed) for group in chosen]


def lines_in(groups: list[ScoreGroup], space: str | None, folder: Path) -> list[ScoreGroup]:
    """Return the lines in a space, all of them if it is None.

    Raises:
        InputError: there are none.
    """
    found = [group for group in groups if space in (None, group.space)]
    if space is not None and not found:
        spaces = {group.space for group in groups}
        raise InputError(f"{folder} has no runs in the space {space!r}: {nearest(space, spaces)}")
    return found


def line_of(group: ScoreGroup, seed: int | None = None) -> RunLine:
    """Return a run of a line: that of this seed, by default of the lowest, in its first fold.

    Raises:
        InputError: there is no run with this seed.
    """
    keys = sorted(group.runs, key=lambda key: (key[1], key[0]))
    own = [key for key in keys if seed in (None, key[1])]
    if not own:
        seeds = ", ".join(map(str, sorted({key[1] for key in keys})))
        raise InputError(f"{group.title} has no run with seed {seed}, it has seeds {seeds}")
    return RunLine(group.runs[own[0]], group.space, group.title)
