"""Findings of the curvature control, in sentences."""

from collections.abc import Mapping, Sequence

from .cells import p_value, points
from .comparison import CurvatureControl
from .score_group import ScoreGroup


def findings(
    groups: Sequence[ScoreGroup],
    controls: Sequence[CurvatureControl],
    twins: Mapping[str, str],
    baseline: ScoreGroup,
) -> list[str]:
    """Return one sentence for each method with a flat twin.

    Args:
        groups: all lines.
        controls: comparisons of methods with their flat twins.
        twins: name of a flat twin -> name of its method.
        baseline: one of the lines.
    """
    return [_sentence(control, baseline) for control in controls] + [
        f"Curvature control, {method}: its flat twin {twin} cannot be compared with it, because "
        f"{_obstacle(groups, method)}."
        for twin, method in twins.items()
        if twin not in {control.twin.method for control in controls}
    ]


def _sentence(control, baseline):
    twin = control.twin.method
    parts = []
    if control.gain is not None and control.share is not None:
        share, low, high = (100 * value for value in control.share)
        parts.append(
            f"gains {points(control.gain)} points of MAP@R over {baseline.method}, of which its "
            f"flat twin {twin} also gains {points(control.twin_gain)}: {share:.0f}% of the gain "
            f"(95% interval {low:.0f}% to {high:.0f}%)"
        )
    elif control.gain is not None:
        parts.append(
            f"no gain over {baseline.method} is shown ({points(control.gain)} points of MAP@R; "
            f"flat twin {twin}: {points(control.twin_gain)}), so there is none to attribute"
        )
    parts.append(
        f"curved minus flat: {points(control.against_twin)} points, "
        f"p {p_value(control.p_corrected)}: {control.verdict}"
    )
    return f"Curvature control, {control.group.title}: {'; '.join(parts)}."


def _obstacle(groups, method):
    if method not in {group.method for group in groups}:
        return f"{method} is not among these runs"
    return "they share no hyperbolic space with the same runs and queries"
