"""CheckedStudies: the studies of a search's database, whose trials are verified when read."""

from collections.abc import Sequence

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from .storage import named_damage, refuse_damaged
from .trial_checksum import is_damaged


class CheckedStudies:
    """The studies of a database, every trial of which is verified before it is used.

    A study object of Optuna reads a trial that has ended once and then answers from memory. So the
    study objects are kept, and a trial is verified once for each time that it was read: what was
    verified is what is used, and the work does not grow with the square of the trials.

    Args:
        storage: the database.
    """

    def __init__(self, storage: optuna.storages.RDBStorage):
        self.storage = storage
        self._studies: dict[str, optuna.Study] = {}
        self._verified: dict[str, dict[int, FrozenTrial]] = {}

    def names(self) -> list[str]:
        """Return the names of all studies."""
        return optuna.get_all_study_names(self.storage)

    def study(self, name: str) -> optuna.Study:
        """Return a study, which is made if there is none.

        Args:
            name: of the study.

        Raises:
            InputError: the database is damaged.
        """
        if name not in self._studies:
            with named_damage(self.storage):
                self._studies[name] = optuna.create_study(
                    study_name=name, storage=self.storage, direction="maximize", load_if_exists=True
                )
        return self._studies[name]

    def with_sampler(self, name: str, sampler: BaseSampler) -> optuna.Study:
        """Return a study for one trial, whose sampler sees the trials that were verified.

        Args:
            name: of the study.
            sampler: proposes the parameters of the trial.
        """
        # A study object answers from memory what its earlier trials have asked, so it is a new one.
        # It shares the trials in memory with the one that is kept.
        return optuna.load_study(
            study_name=name, storage=self.study(name)._storage, sampler=sampler
        )

    def trials(self, name: str, states: Sequence[TrialState] | None = None) -> list[FrozenTrial]:
        """Return the trials of a study in the order of their numbers. They must not be changed.

        Args:
            name: of the study.
            states: of the trials. Default: all.

        Raises:
            InputError: the database is damaged.
        """
        study, verified = self.study(name), self._verified.setdefault(name, {})
        with named_damage(self.storage):
            trials = study.get_trials(deepcopy=False, states=states)
        for trial in trials:
            if verified.get(trial.number) is trial:
                continue
            if is_damaged(name, trial):
                refuse_damaged(self.storage, f"trial {trial.number} of {name}")
            verified[trial.number] = trial
        return trials
