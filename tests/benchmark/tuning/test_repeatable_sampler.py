"""Proposals depend on their numbers, not on the process that asks."""

import optuna
import pytest
from optuna.trial import TrialState

from pml_hyperbolic.benchmark.tuning.repeatable_sampler import repeatable_sampler


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def propose(numbers, fail=()):
    """Values of the proposals with these numbers, in a new study; some trials fail."""
    study = optuna.create_study(direction="maximize")
    values = []
    for i, number in enumerate(numbers):
        study.sampler = repeatable_sampler(number)
        trial = study.ask()
        values.append(trial.suggest_float("x", 0, 1))
        if i in fail:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, 1 - (values[-1] - 0.3) ** 2)
    return values


def test_values_depend_on_the_number():
    whole = propose(range(15))
    assert propose(range(15)) == whole
    assert len(set(whole)) == 15


def test_a_failed_trial_is_proposed_again():
    whole = propose(range(15))
    # TPE has learnt from the trials before number 12.
    again = propose([*range(3), 2, *range(3, 13), 12, 13, 14], fail=(2, 13))
    assert again == [*whole[:3], whole[2], *whole[3:13], whole[12], *whole[13:]]
