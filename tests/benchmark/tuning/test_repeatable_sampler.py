"""Proposals depend on the trial, not on the process that asks."""

import optuna
import pytest
from optuna.trial import TrialState

from pml_hyperbolic.benchmark.tuning.repeatable_sampler import RepeatableSampler, trials_before


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def propose(study, count, seed=0, fail_at=None):
    """Values proposed by a new sampler for each trial."""
    values = []
    for i in range(count):
        study.sampler = RepeatableSampler(seed)
        trial = study.ask()
        values.append(trial.suggest_float("x", 0, 1))
        if i == fail_at:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, 1 - (values[-1] - 0.3) ** 2)
    return values


def test_new_samplers_go_on_where_the_last_one_was():
    one = optuna.create_study(direction="maximize", sampler=RepeatableSampler())
    one.optimize(lambda trial: 1 - (trial.suggest_float("x", 0, 1) - 0.3) ** 2, n_trials=15)
    whole = [trial.params["x"] for trial in one.trials]
    assert propose(optuna.create_study(direction="maximize"), 15) == whole
    assert len(set(whole)) == 15
    assert propose(optuna.create_study(direction="maximize"), 15, seed=1) != whole


def test_a_failed_trial_is_proposed_again():
    values = propose(optuna.create_study(direction="maximize"), 5, fail_at=2)
    assert values[2] == values[3]
    assert len(set(values)) == 4


def test_failed_trials_do_not_count():
    study = optuna.create_study(direction="maximize")
    propose(study, 5, fail_at=2)
    assert [trials_before(study, number) for number in range(6)] == [0, 1, 2, 2, 3, 4]
