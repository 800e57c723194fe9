"""The checksums in a trial's attributes: of how it was begun, and of what it says when finished."""

from typing import Any

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from ...files import content_checksum
from .heartbeat import HEARTBEAT

# The states of trials that count: a search chooses by what they say.
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
# Attributes of a trial: its number among the proposals, whether its parameters were planned, the
# checksum of both, and that of all that it says.
PROPOSAL, PLANNED, CLAIM, CHECKSUM = "proposal", "planned", "claim", "checksum"
_KIND = "pml_hyperbolic sha256 "
# A heartbeat may arrive after the checksum was made, just before the trial is finished.
_LEFT_OUT = {CHECKSUM, HEARTBEAT}


def claim_checksum(number: int | None, point: dict[str, Any] | None) -> str:
    """Return the checksum of what a trial is begun with, on which later proposals depend.

    Args:
        number: of its proposal; None in trials of earlier versions.
        point: its planned parameters, None if the sampler proposes them.
    """
    return content_checksum([number, point])


def trial_checksum(
    study_name: str, trial: FrozenTrial, state: TrialState, value: float | None
) -> str:
    """Return the checksum of all that a trial is read for: SHA-256, with its kind before it.

    Args:
        study_name: of the trial's study.
        trial: as it is stored.
        state: its final state.
        value: its score; None if it has none.
    """
    content: list[Any] = [
        study_name,
        trial.number,
        state.name,
        value,
        trial.params,
        {name: distribution_to_json(kind) for name, kind in trial.distributions.items()},
        {name: one for name, one in trial.user_attrs.items() if name not in _LEFT_OUT},
        # JSON has no keys but strings.
        {str(step): reported for step, reported in trial.intermediate_values.items()},
    ]
    return _KIND + content_checksum(content)


def is_damaged(study_name: str, trial: FrozenTrial) -> bool:
    """Whether a trial is not as it was begun or, if it counts, not as it was finished.

    Trials without a checksum, which earlier versions made, are taken as they are.

    Args:
        study_name: of the trial's study.
        trial: in any state.
    """
    attributes = trial.user_attrs
    point = trial.params if attributes.get(PLANNED) else None
    if CLAIM in attributes and attributes[CLAIM] != claim_checksum(attributes.get(PROPOSAL), point):
        return True
    if trial.state not in FINISHED:
        return False
    found = attributes.get(CHECKSUM)
    if found is None:
        # The name of the checksum may be what is damaged.
        return any(str(one).startswith(_KIND) for one in attributes.values())
    return found != trial_checksum(study_name, trial, trial.state, trial.value)
