"""Heartbeat: the sign of life of the worker that trains a trial."""

import contextlib
import platform
import threading
import time

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from .storage import STORAGE_ERRORS

HEARTBEAT = "heartbeat"
# A trial whose worker has sent no heartbeat for so long is given to another worker.
HEARTBEAT_SECONDS = 10.0
GRACE_SECONDS = 30.0


class Heartbeat:
    """A context that updates a trial's heartbeat from a thread.

    Optuna's own heartbeats begin after a trial has become a running one. Killed in between, it
    would run for ever. Here the first heartbeat is an attribute that a trial is created with.

    Args:
        storage: of the trial.
        trial_id: of the trial in the storage.
    """

    def __init__(self, storage: optuna.storages.RDBStorage, trial_id: int):
        self._storage = storage
        self._trial_id = trial_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self):
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                self._storage.set_trial_user_attr(self._trial_id, HEARTBEAT, heartbeat())
            except UpdateFinishedTrialError:
                # Another worker took the trial over, which is noticed when its training ends.
                break
            # A server that comes back before the training ends was never missed.
            except STORAGE_ERRORS:
                continue
        with contextlib.suppress(*STORAGE_ERRORS):
            self._storage.remove_session()


def heartbeat() -> list:
    """Return a sign of life: this machine, and the time by its clock."""
    return [platform.node(), time.time()]


class Watch:
    """Tells which running trials of a study have lost their workers.

    Workers on several machines have no common clock. A heartbeat of this machine is old if its
    time is; one of another machine if it has not changed for as long as it was watched.

    Args:
        search: the identity of the search that watches, whose other workers it knows to be alive.
    """

    def __init__(self, search: str):
        self._search = search
        self._since: dict[tuple, float] = {}
        self._alive = {search}
        self._watched: dict[str | None, set[tuple]] = {}

    def sort(
        self, running: list[optuna.trial.FrozenTrial], search_of: str
    ) -> tuple[list[optuna.trial.FrozenTrial], list[optuna.trial.FrozenTrial]]:
        """Return the trials whose workers are gone, and those whose workers may be gone.

        A search that was seen to send a heartbeat or to begin a trial is alive, and so are its
        trials until their own heartbeats are too old.

        Args:
            running: all running trials of the study.
            search_of: the attribute that names the search of a trial.
        """
        now = time.monotonic()
        signs = {trial.number: self._sign(trial) for trial in running}
        self._since = {sign: self._since.get(sign, now) for sign in signs.values()}
        by_search: dict[str | None, set[tuple]] = {}
        for trial in running:
            by_search.setdefault(trial.user_attrs.get(search_of), set()).add(signs[trial.number])
        for search, seen in by_search.items():
            if search is not None and seen - self._watched.setdefault(search, seen):
                self._alive.add(search)
        gone, unsure = [], []
        for trial in running:
            if self._is_old(signs[trial.number], now):
                gone.append(trial)
            elif trial.user_attrs.get(search_of) not in self._alive:
                unsure.append(trial)
        return gone, unsure

    def _sign(self, trial):
        return (trial.number, *trial.user_attrs.get(HEARTBEAT, (None, None)))

    def _is_old(self, sign, now):
        _, machine, at = sign
        if machine == platform.node() and abs(time.time() - at) > GRACE_SECONDS:
            return True
        return now - self._since[sign] > GRACE_SECONDS
