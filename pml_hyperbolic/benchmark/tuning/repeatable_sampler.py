"""Optuna's TPE with random numbers that depend on the number of the proposal only."""

import numpy as np
from optuna.samplers import TPESampler

# Optuna's default: TPE proposes at random until so many trials are finished.
LEARNT_FROM = 10
_SEED = 0


def repeatable_sampler(proposal: int) -> TPESampler:
    """Return the sampler of one proposal.

    A sampler seeded once would repeat its random numbers when a search is resumed, and workers with
    the same seed would propose the same settings. This one proposes the same again if the worker
    is killed and the proposal is repeated, and something else for every other number.

    TPE is chosen because it takes ordered, unordered and continuous settings in one space, adapts
    to finished trials (random search and Sobol points do not). Its first proposals would be random
    and leave gaps, so a search plans as many trials as TPE needs to learn from.

    Args:
        proposal: its number in the study, >= 0.
    """
    entropy = np.random.SeedSequence([_SEED, proposal])
    return TPESampler(n_startup_trials=LEARNT_FROM, seed=int(entropy.generate_state(1)[0]))
