"""A trial is read as it was begun and as it was finished, or it is known to be damaged."""

from datetime import datetime

import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from pml_hyperbolic.benchmark.tuning.trial_checksum import (
    CHECKSUM,
    CLAIM,
    claim_checksum,
    is_damaged,
    trial_checksum,
)

STUDY = "tiny/chest/protocol/space"
ATTRIBUTES = {"proposal": 3, "values": {"loss_lr": 0.01}, "key": "abc", "heartbeat": ["here", 1.0]}


@pytest.fixture
def trial():
    trial = create_trial(
        state=TrialState.COMPLETE,
        value=0.1 + 0.2,
        params={"loss_lr": 2, "margin": 1 / 3},
        distributions={"loss_lr": IntDistribution(0, 3), "margin": FloatDistribution(0, 1)},
        user_attrs=dict(ATTRIBUTES),
        intermediate_values={0: 0.5},
    )
    trial.number = 3
    trial.set_user_attr(CHECKSUM, trial_checksum(STUDY, trial, trial.state, trial.value))
    return trial


def test_a_trial_as_it_was_finished(trial):
    assert not is_damaged(STUDY, trial)
    # What nothing is chosen by may change.
    trial.datetime_complete = datetime(2030, 1, 1)
    trial.set_user_attr("heartbeat", ["there", 2.0])
    assert not is_damaged(STUDY, trial)


def test_a_trial_of_an_earlier_version_has_no_checksum(trial):
    del trial.user_attrs[CHECKSUM]
    assert not is_damaged(STUDY, trial)


def test_a_damaged_name_is_no_missing_checksum(trial):
    trial.user_attrs["checksun"] = trial.user_attrs.pop(CHECKSUM)
    assert is_damaged(STUDY, trial)


@pytest.mark.parametrize(
    "change",
    [
        lambda trial: setattr(trial, "value", 0.3),
        lambda trial: setattr(trial, "number", 2),
        lambda trial: setattr(trial, "state", TrialState.PRUNED),
        lambda trial: trial.params.update(loss_lr=3),
        lambda trial: trial.distributions.update(loss_lr=IntDistribution(0, 2)),
        lambda trial: trial.user_attrs.update(proposal=2),
        lambda trial: trial.user_attrs.update(values={"loss_lr": 0.02}),
        lambda trial: trial.user_attrs.pop("key"),
        lambda trial: trial.user_attrs.update({CHECKSUM: trial.user_attrs[CHECKSUM][:-1]}),
        lambda trial: trial.intermediate_values.update({0: 0.25}),
    ],
)
def test_whatever_is_chosen_by_is_checked(trial, change):
    change(trial)
    assert is_damaged(STUDY, trial)


def test_a_trial_of_another_study(trial):
    assert is_damaged("tiny/hier/protocol/space", trial)


@pytest.fixture(params=[None, {"x": 2}])
def begun(request):
    """A running trial, whose parameters the sampler proposes or the plan has given."""
    point = request.param
    return create_trial(
        state=TrialState.RUNNING,
        params=point or {},
        distributions={"x": IntDistribution(0, 3)} if point else {},
        user_attrs={
            "proposal": 3,
            "planned": point is not None,
            CLAIM: claim_checksum(3, point),
        },
    )


def test_a_trial_as_it_was_begun(begun):
    assert not is_damaged(STUDY, begun)
    if not begun.user_attrs["planned"]:
        begun.distributions, begun.params = {"x": IntDistribution(0, 3)}, {"x": 1}
    assert not is_damaged(STUDY, begun)
    begun.state = TrialState.FAIL
    assert not is_damaged(STUDY, begun)


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.FAIL])
@pytest.mark.parametrize("change", [{"proposal": 2}, {CLAIM: "0"}, {"planned": None}])
def test_what_a_trial_was_begun_with_is_checked(begun, state, change):
    planned = begun.user_attrs["planned"]
    begun.state = state
    begun.user_attrs.update(change)
    # Without a plan, nothing depends on what says that there is none.
    assert is_damaged(STUDY, begun) == (planned or "planned" not in change)


def test_planned_parameters_are_checked(begun):
    if begun.user_attrs["planned"]:
        begun.params["x"] = 1
        assert is_damaged(STUDY, begun)
