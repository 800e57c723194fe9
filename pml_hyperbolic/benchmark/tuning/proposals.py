"""Proposals: the numbered trials of a method, each done once, whatever becomes of the workers."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from .checked_studies import CheckedStudies
from .heartbeat import HEARTBEAT, Heartbeat, Watch, heartbeat
from .repeatable_sampler import repeatable_sampler
from .trial_checksum import (
    CHECKSUM,
    CLAIM,
    FINISHED,
    PLANNED,
    PROPOSAL,
    claim_checksum,
    trial_checksum,
)

_SEARCH = "search"


class Proposals:
    """The proposals 0, 1, ... of a study, and the trials that carry them out.

    A trial is created together with its number, its planned parameters and its first heartbeat in
    one transaction, so that a worker can be killed anywhere: either there is no trial, or there is
    one that others can tell to be abandoned. An abandoned trial fails, and the next trial has its
    number, from which follow its random numbers. As a worker always takes the smallest free number,
    and none while it does not know whether a running trial was abandoned, a single worker sees the
    same finished trials before each proposal, however often it is killed.

    Two workers may take one number at the same time. Optuna numbers trials in the order of their
    creation, and the earlier one counts.

    Args:
        study_name: of the study, which is made if there is none.
        studies: of the database.
        trials: the number of proposals to carry out.
        plan: parameters that are tried first, in this order.
        distributions: Optuna's distribution of each parameter.
        search: the identity of this search, the same for all its workers.

    Raises:
        InputError: the database is damaged; likewise from all methods that read trials.
    """

    def __init__(
        self,
        study_name: str,
        studies: CheckedStudies,
        *,
        trials: int,
        plan: Sequence[dict[str, Any]],
        distributions: Mapping[str, BaseDistribution],
        search: str,
    ):
        self.study = studies.study(study_name)
        self._name = study_name
        self._studies = studies
        self._storage = studies.storage
        self._study_id = self._storage.get_study_id_from_name(study_name)
        self._trials = trials
        self._plan = plan
        self._distributions = dict(distributions)
        self._search = search
        self._watch = Watch(search)

    def finished(self) -> list[FrozenTrial]:
        """Return the finished trials that count, in the order of their proposals."""
        trials = self._by_number(FINISHED)
        return [trials[number][0] for number in range(self._trials) if number in trials]

    @property
    def done(self) -> bool:
        """Whether all proposals are carried out."""
        return len(self.finished()) == self._trials

    def reclaim(self) -> int:
        """Fail abandoned trials; return the number of trials that may be abandoned."""
        running = self._studies.trials(self._name, (TrialState.RUNNING,))
        gone, unsure = self._watch.sort(running, _SEARCH)
        for trial in gone:
            self.finish(trial, TrialState.FAIL)
        return len(unsure)

    def abandon_own(self) -> None:
        """Fail the running trials of this search, whose workers have been ended."""
        for trial in self._studies.trials(self._name, (TrialState.RUNNING,)):
            if trial.user_attrs.get(_SEARCH) == self._search:
                self.finish(trial, TrialState.FAIL)

    def claim(self) -> Trial | None:
        """Begin the first proposal that no trial carries out; None if there is none, or just now.

        Its heartbeat is only kept up within ``heartbeat(trial)``.
        """
        taken = self._by_number()
        number = next((n for n in range(self._trials) if not _alive(taken.get(n, ()))), None)
        if number is None:
            return None
        point = self._planned(number, taken)
        attributes = {
            PROPOSAL: number,
            _SEARCH: self._search,
            HEARTBEAT: heartbeat(),
            PLANNED: point is not None,
            CLAIM: claim_checksum(number, point),
        }
        template = create_trial(
            state=TrialState.RUNNING,
            params=point or {},
            distributions=self._distributions if point else {},
            user_attrs=attributes,
        )
        trial_id = self._storage.create_new_trial(self._study_id, template)
        study = self._studies.with_sampler(self._name, repeatable_sampler(number))
        trial = Trial(study, trial_id)
        if _alive(self._by_number()[number])[:1] != [trial.number]:
            self.finish(trial, TrialState.FAIL)
            return None
        return trial

    def heartbeat(self, trial: Trial) -> Heartbeat:
        """Return a context that shows that a claimed trial is being trained."""
        return Heartbeat(self._storage, trial._trial_id)

    def finish(
        self, trial: Trial | FrozenTrial, state: TrialState, value: float | None = None
    ) -> bool:
        """Give a trial its final state; False if another worker has given it one already."""
        values = None if value is None else [value]
        try:
            if state in FINISHED:
                stored = self._storage.get_trial(trial._trial_id)
                checksum = trial_checksum(self._name, stored, state, value)
                self._storage.set_trial_user_attr(trial._trial_id, CHECKSUM, checksum)
            return self._storage.set_trial_state_values(trial._trial_id, state, values)
        except UpdateFinishedTrialError:
            return False

    def _by_number(self, states=None) -> dict[int, list[FrozenTrial]]:
        """Number of a proposal -> its trials, the first ones first."""
        trials: dict[int, list[FrozenTrial]] = {}
        unnumbered = 0
        for trial in self._studies.trials(self._name):
            number = trial.user_attrs.get(PROPOSAL)
            # Searches once did not number their proposals: the finished trials were the first ones.
            if number is None and trial.state in FINISHED:
                number = unnumbered
                unnumbered += 1
            if number is not None and (states is None or trial.state in states):
                trials.setdefault(number, []).append(trial)
        return trials

    def _planned(self, number, taken):
        """The planned parameters of a proposal, which stay the same when it is repeated."""
        if number in taken:
            first = taken[number][0]
            return first.params if first.user_attrs.get(PLANNED) else None
        others = [trial.params for trials in taken.values() for trial in trials]
        return next((point for point in self._plan if point not in others), None)


def _alive(trials):
    """The Optuna numbers of the trials that have not failed."""
    return [trial.number for trial in trials if trial.state != TrialState.FAIL]
