"""RepeatableSampler: Optuna's TPE with random numbers that depend on the trial only."""

import numpy as np
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import TrialState


class RepeatableSampler(BaseSampler):
    """TPE that is seeded anew for each trial, from the number of trials before it.

    A sampler seeded once would repeat its random numbers when a search is resumed, and workers with
    the same seed would propose the same settings. Failed trials are not counted, so a trial that
    replaces a failed one proposes the same settings.

    TPE is chosen because it takes ordered, unordered and continuous settings in one space, adapts
    to finished trials (random search and Sobol points do not), and begins as random search, so it
    costs nothing where there are few trials.

    Args:
        seed: the seed of the search. Default 0.
    """

    def __init__(self, seed: int = 0):
        self.seed = seed
        self._sampler = TPESampler(seed=seed)

    def before_trial(self, study, trial):
        entropy = np.random.SeedSequence([self.seed, trials_before(study, trial.number)])
        self._sampler = TPESampler(seed=int(entropy.generate_state(1)[0]))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study, trial):
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(self, study, trial, search_space):
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study, trial, state, values):
        self._sampler.after_trial(study, trial, state, values)


def trials_before(study, number: int) -> int:
    """Trials of a study with a smaller number, failed ones apart."""
    trials = study.get_trials(deepcopy=False)
    return sum(t.number < number and t.state != TrialState.FAIL for t in trials)
