"""A checksum of what a finished trial of a search says, which is kept in its attributes."""

from collections.abc import Iterable
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from ...files import content_checksum

CHECKSUM = "checksum"
_KIND = "pml_hyperbolic sha256 "


def trial_checksum(
    study_name: str,
    trial: FrozenTrial,
    state: TrialState,
    value: float | None,
    *,
    changing: Iterable[str] = (),
) -> str:
    """Return the checksum of all that a trial is read for: SHA-256, with its kind before it.

    Args:
        study_name: of the trial's study.
        trial: as it is stored.
        state: its final state.
        value: its score; None if it has none.
        changing: names of its attributes that may change after it was finished, which are left
            out. Default: none.
    """
    left_out = {CHECKSUM, *changing}
    content: list[Any] = [
        study_name,
        trial.number,
        state.name,
        value,
        trial.params,
        {name: distribution_to_json(kind) for name, kind in trial.distributions.items()},
        {name: one for name, one in trial.user_attrs.items() if name not in left_out},
        # JSON has no keys but strings.
        {str(step): reported for step, reported in trial.intermediate_values.items()},
    ]
    return _KIND + content_checksum(content)


def is_damaged(study_name: str, trial: FrozenTrial, *, changing: Iterable[str] = ()) -> bool:
    """Whether a finished trial is not as it was finished.

    Trials without a checksum, which earlier versions finished, are taken as they are.

    Args:
        study_name: of the trial's study.
        trial: finished.
        changing: as for :func:`trial_checksum`.
    """
    found = trial.user_attrs.get(CHECKSUM)
    if found is None:
        # The name of the checksum may be what is damaged.
        return any(str(one).startswith(_KIND) for one in trial.user_attrs.values())
    return found != trial_checksum(study_name, trial, trial.state, trial.value, changing=changing)
