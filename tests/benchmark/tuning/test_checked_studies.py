"""Every trial is verified before it is used, and no more often than it is read."""

from collections import Counter

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from pml_hyperbolic.benchmark.tuning import checked_studies
from pml_hyperbolic.benchmark.tuning.checked_studies import CheckedStudies
from pml_hyperbolic.benchmark.tuning.proposals import Proposals
from pml_hyperbolic.benchmark.tuning.repeatable_sampler import repeatable_sampler
from pml_hyperbolic.benchmark.tuning.storage import opened_storage
from pml_hyperbolic.benchmark.tuning.trial_checksum import CHECKSUM, CLAIM, FINISHED
from pml_hyperbolic.errors import InputError

NAME = "tiny/chest/protocol/space"


@pytest.fixture
def storage(tmp_path):
    with opened_storage(f"sqlite:///{tmp_path / 'search.db'}") as storage:
        yield storage


def proposals(studies, name=NAME, trials=8):
    return Proposals(
        name,
        studies,
        trials=trials,
        plan=[{"x": 0.25}, {"x": 0.5}],
        distributions={"x": FloatDistribution(0, 1)},
        search="a",
    )


def carry_out(mine, state=TrialState.COMPLETE):
    trial = mine.claim()
    value = trial.suggest_float("x", 0, 1)
    assert mine.finish(trial, state, value if state in FINISHED else None)
    return trial


def set_attribute(storage, number, key, value):
    """Change an attribute of a trial as a flipped bit would, which Optuna refuses to do."""
    with storage.engine.begin() as connection:
        connection.exec_driver_sql(
            "update trial_user_attributes set value_json = ? where key = ? and trial_id ="
            " (select trial_id from trials where number = ?)",
            (value, key, number),
        )


def test_a_finished_trial_is_verified_once_however_often_it_is_asked_for(storage, monkeypatch):
    verified: Counter = Counter()
    check = checked_studies.is_damaged

    def counting(name, trial):
        if trial.state.is_finished():
            verified[name, trial.number] += 1
        return check(name, trial)

    monkeypatch.setattr(checked_studies, "is_damaged", counting)
    studies = CheckedStudies(storage)
    methods = [proposals(studies, name) for name in ("chest", "hier")]
    while not all(mine.done for mine in methods):
        for mine in methods:
            assert mine.reclaim() == 0
            carry_out(mine, TrialState.FAIL)
            carry_out(mine)
            for name in studies.names():
                studies.trials(name, FINISHED)
    assert set(verified) == {(name, n) for name in ("chest", "hier") for n in range(16)}
    assert set(verified.values()) == {1}


def test_the_sampler_sees_the_trials_that_were_verified(storage):
    studies = CheckedStudies(storage)
    carry_out(proposals(studies))
    (trial,) = studies.trials(NAME)
    study = studies.with_sampler(NAME, repeatable_sampler(1))
    assert study.get_trials(deepcopy=False)[0] is trial
    # What is damaged on the disk from now on is refused by the next process that reads it.
    set_attribute(storage, 0, CHECKSUM, '"0"')
    assert study.get_trials(deepcopy=False)[0] is trial
    with pytest.raises(InputError, match=r"search\.db is damaged \(trial 0 of tiny/chest"):
        CheckedStudies(storage).trials(NAME)


def test_a_trial_of_another_worker_is_verified_when_it_is_first_read(storage):
    ours, theirs = CheckedStudies(storage), CheckedStudies(storage)
    carry_out(proposals(ours))
    assert len(ours.trials(NAME)) == 1
    carry_out(proposals(theirs))
    set_attribute(storage, 1, CHECKSUM, '"0"')
    with pytest.raises(InputError, match=r"damaged \(trial 1 of"):
        ours.trials(NAME)
    # It does not pass the second time either.
    with pytest.raises(InputError, match=r"damaged \(trial 1 of"):
        ours.trials(NAME)


def test_a_running_trial_is_verified_each_time(storage):
    studies = CheckedStudies(storage)
    assert proposals(studies).claim().number == 0
    assert [trial.state for trial in studies.trials(NAME)] == [TrialState.RUNNING]
    set_attribute(storage, 0, CLAIM, '"0"')
    with pytest.raises(InputError, match=r"damaged \(trial 0 of"):
        studies.trials(NAME)


def test_a_study_is_made_once(storage):
    studies = CheckedStudies(storage)
    assert studies.names() == []
    study = studies.study(NAME)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert studies.study(NAME) is study
    assert CheckedStudies(storage).study(NAME)._study_id == study._study_id
    assert studies.names() == [NAME]
