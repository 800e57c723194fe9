"""Equal tuning: the same number of Optuna trials for each method, on validation classes only."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from ...distributed.worker_process import become_worker
from ...errors import InputError
from ...files import (
    content_hash,
    disk_failure,
    explain_os_error,
    make_output_folder,
    named_disk_failures,
    write_text,
)
from ...trainers import NonFiniteError
from ..assembly.protocol_data import ProtocolData
from ..checking.check import check_benchmark
from ..config import BenchmarkConfig, value_at
from ..running.single_run import validate_run
from .repeatable_sampler import RepeatableSampler, trials_before
from .search_space import at_edge, distribution, points, size, to_parameter, to_value
from .tuned_config import Found, tuned_files

# The trial of a worker that has sent no heartbeat for this long is given to another worker.
HEARTBEAT_SECONDS = 10
GRACE_SECONDS = 30
POLL_SECONDS = 1.0
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
Studies = dict[str, optuna.Study]
# Every metric that can select a checkpoint is a share, so 0 is the worst value.
_WORST = 0.0


@dataclass(frozen=True)
class Search:
    """A search, as it is sent to worker processes.

    Attributes:
        config: the benchmark.
        data: the fingerprint of its data.
        trials: the number of trials of each method.
        fold: the fold on which all trials train and validate.
        seeds: the seeds that each trial trains with; its score is the mean over them.
        storage: the URL of the database that all workers share.
        folder: the folder for logs and results.
    """

    config: BenchmarkConfig
    data: str
    trials: int
    fold: int
    seeds: tuple[int, ...]
    storage: str
    folder: Path

    def study_name(self, method: str) -> str:
        """A method's study, which is another one for other settings, runs, spaces or protocols."""
        searched = self.config.methods[method]
        space = {path: allowed.model_dump() for path, allowed in searched.search.items()}
        about = content_hash([searched.hash, space, self.fold, self.seeds])
        return f"{self.study_prefix(method)}{about}"

    def study_prefix(self, method: str) -> str:
        """The common start of the names of a method's studies on this protocol and data."""
        return f"{self.config.name}/{method}/{self.config.protocol.hash}-{self.data}/"


def search_benchmark(
    config: BenchmarkConfig,
    output: Path,
    *,
    trials: int,
    seeds: int = 1,
    storage: str | None = None,
    jobs: int = 1,
    say: Callable[[str], None] = print,
    show_progress: bool = True,
) -> tuple[list[Found], dict[str, str]]:
    """Search each method's own space with ``trials`` trials, and write the best as a new config.

    The first trial has the settings of the method's file, moved to the nearest point of the space
    if they lie outside. A space with no more points than trials is searched completely. A trial
    that diverges counts with the worst score, and settings that were tried before are not trained
    again. Finished trials are kept: the same call resumes the search, and any number of processes
    and machines may share a storage. Trials train on the first of the folds to run. With one
    worker all proposals are repeatable.

    Args:
        config: the benchmark.
        output: the folder that holds a folder for each benchmark; the new config goes into
            ``<name>-search`` in it.
        trials: the number of trials of each method, >= 1.
        seeds: the number of the protocol's seeds that each trial trains with. Default 1.
        storage: the URL of a database. Default: a file in the search's folder.
        jobs: the number of worker processes. Default 1.
        say: called with each line of output. Default: print.
        show_progress: show a progress bar on stderr. Default True.

    Returns:
        The outcome for each method, and the error of each method whose search failed.

    Raises:
        InputError: a method declares no space or cannot be built, the protocol has fewer seeds, or
            the storage cannot be opened.
    """
    _check(config, seeds)
    data = ProtocolData(config.protocol)
    checked = check_benchmark(config, data)
    for note in checked.notes:
        say(f"note: {note}")
    folder = output / f"{config.name}-search"
    make_output_folder(folder)
    chosen = tuple(config.protocol.seeds[:seeds])
    url = storage or f"sqlite:///{folder.resolve() / 'search.db'}"
    search = Search(config, checked.data, trials, config.protocol.folds[0], chosen, url, folder)
    database = url.removeprefix("sqlite:///")
    with named_disk_failures(database), _opened(search) as (opened, studies):
        for name, study in studies.items():
            _enqueue(search, name, study)
        done = _done(search, studies)
        if done:
            say(f"{done} of {trials * len(studies)} trials are finished already")
        with _progress(search, studies, show_progress) as show:
            if jobs == 1:
                errors = _work_here(search, opened, studies, show, data)
            else:
                errors = _work_in_processes(search, studies, jobs, show)
        found = []
        for name, study in studies.items():
            if name in errors:
                continue
            if any(t.state == TrialState.COMPLETE for t in _counted(study, trials)):
                found.append(_found(search, name, study))
            else:
                errors[name] = (
                    f"all {trials} trials diverged: lower the learning rates of its space"
                )
    if not errors:
        for path, text in tuned_files(config, chosen, found, folder).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
    return found, errors


def _check(config, seeds):
    for name, method in config.methods.items():
        if not method.search:
            raise InputError(
                f"{name} declares no search space: add for example search: {{loss_lr: {{low: 1e-4, "
                f"high: 10, log: true}}}} to its file, or leave it out of methods: either all are "
                f"tuned equally or none is"
            )
    if seeds > len(config.protocol.seeds):
        raise InputError(
            f"--seeds {seeds}: protocol.seeds has only {len(config.protocol.seeds)} seeds"
        )


@contextlib.contextmanager
def _opened(search: Search) -> Iterator[tuple[optuna.storages.RDBStorage, Studies]]:
    """The storage and the studies of all methods, with Optuna's messages silenced."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options = {"connect_args": {"timeout": 60}} if search.storage.startswith("sqlite") else {}
    with warnings.catch_warnings():
        # Heartbeats and their callback are marked experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            storage = optuna.storages.RDBStorage(
                search.storage,
                engine_kwargs=options,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
            )
        # SQLAlchemy and the database drivers raise exceptions of many types.
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                _without_password(f"cannot open the storage {search.storage}: {reason}")
                + " (expected a URL such as sqlite:///search.db or postgresql://host/database)"
            ) from error
    try:
        studies = {
            name: optuna.create_study(
                study_name=search.study_name(name),
                storage=storage,
                sampler=RepeatableSampler(),
                direction="maximize",
                load_if_exists=True,
            )
            for name in search.config.methods
        }
        yield storage, studies
    finally:
        storage.remove_session()
        storage.engine.dispose()
        optuna.logging.set_verbosity(verbosity)


def _without_password(text):
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)


def _plan(search, name):
    """The points that a method tries first, as Optuna's parameters."""
    method = search.config.methods[name]
    own = _own_parameters(method)
    rest = points(method.search) if size(method.search) <= search.trials else []
    return [own, *(point for point in rest if point != own)]


def _own_parameters(method):
    content = method.model_dump()
    return {
        path: to_parameter(allowed, value_at(content, path))
        for path, allowed in method.search.items()
    }


def _enqueue(search, name, study):
    """Enqueue the planned points that no trial has yet; failed trials are not counted."""
    taken = [
        trial.system_attrs.get("fixed_params", trial.params)
        for trial in study.get_trials(deepcopy=False)
        if trial.state != TrialState.FAIL
    ]
    for point in _plan(search, name):
        if point not in taken:
            study.enqueue_trial(point)


def _counted(study, trials) -> list[FrozenTrial]:
    """The finished trials that count: the first ones, if two workers began one too many."""
    return study.get_trials(deepcopy=False, states=_FINISHED)[:trials]


def _done(search, studies):
    return sum(len(_counted(study, search.trials)) for study in studies.values())


def _running(study):
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


class _Surplus(Exception):
    """Another worker began the last trial at the same time."""


@contextlib.contextmanager
def _progress(search, studies, show):
    """A function that updates a progress bar of finished trials, to be called now and then."""
    from tqdm import tqdm

    total = search.trials * len(studies)
    with tqdm(
        total=total,
        initial=_done(search, studies),
        desc=f"{search.config.name}-search",
        unit="trial",
        disable=not show,
        mininterval=0.1 if os.isatty(2) else 10,
        dynamic_ncols=True,
    ) as bar:
        yield lambda: bar.update(_done(search, studies) - bar.n)


def _work_here(search, storage, studies, show, data):
    threads = torch.get_num_threads()
    try:
        return _work(search, storage, studies, 0, show, data)
    finally:
        torch.set_num_threads(threads)


def _work_in_processes(search, studies, jobs, show):
    # A forked child would inherit locked thread pools of torch.
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    workers = [
        context.Process(target=_worker, args=(search, first, answers)) for first in range(jobs)
    ]
    errors: dict[str, str] = {}
    try:
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            multiprocessing.connection.wait(
                [worker.sentinel for worker in workers if worker.is_alive()], timeout=POLL_SECONDS
            )
            while not answers.empty():
                errors.update(answers.get())
            show()
    finally:
        # After an interruption the unfinished trials will be redone, so nobody waits for them.
        for worker in workers:
            worker.terminate()
            worker.join()
    for name, study in studies.items():
        if name not in errors and len(_counted(study, search.trials)) < search.trials:
            errors[name] = (
                "the worker processes were killed or ran out of memory: search again with fewer "
                "--jobs"
            )
    return errors


def _worker(search, first, answers):
    become_worker()
    with _opened(search) as (storage, studies):
        data = ProtocolData(search.config.protocol)
        try:
            answers.put(_work(search, storage, studies, first, lambda: None, data))
        # The same disk fails for all methods: one line is enough.
        except Exception as error:
            failure = disk_failure(error, search.storage.removeprefix("sqlite:///"))
            if failure is None:
                raise
            answers.put({next(iter(studies)): explain_os_error(failure)})


def _work(search, storage, studies, first, show, data) -> dict[str, str]:
    """Do trials until every method has enough; the errors of methods that fail."""
    names = list(studies)
    # Workers begin with different methods, so that most studies have one worker.
    names = names[first % len(names) :] + names[: first % len(names)]
    errors: dict[str, str] = {}
    while True:
        open_names = [
            name
            for name in names
            if name not in errors and len(_counted(studies[name], search.trials)) < search.trials
        ]
        if not open_names:
            return errors
        for name in open_names:
            study = studies[name]
            claimed = len(_counted(study, search.trials)) + len(_running(study))
            if claimed < search.trials:
                try:
                    study.optimize(
                        lambda trial, name=name: _objective(search, storage, name, trial, data),
                        n_trials=1,
                        catch=(_Surplus,),
                    )
                # Whatever goes wrong with one method, the others go on.
                except Exception as error:
                    if disk_failure(error, search.storage) is not None:
                        raise
                    reason = " ".join(str(error).split()) or "no message"
                    errors[name] = f"{type(error).__name__}: {reason}"
                show()
                break
        else:
            # Other workers do the last trials. If one of them dies, its trial comes back.
            time.sleep(POLL_SECONDS)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                for name in open_names:
                    optuna.storages.fail_stale_trials(studies[name])


def _objective(search, storage, name, trial, data) -> float:
    if trials_before(trial.study, trial.number) >= search.trials:
        raise _Surplus
    method = search.config.methods[name]
    values = {
        path: to_value(allowed, _suggest(trial, path, distribution(allowed)))
        for path, allowed in method.search.items()
    }
    candidate = method.with_values(values)
    key = content_hash([candidate.hash, search.fold, search.seeds])
    trial.set_user_attr("values", values)
    trial.set_user_attr("key", key)
    known = _known(search, storage, name, key)
    if known is not None:
        trial.set_user_attr("folder", known.user_attrs["folder"])
        if known.state == TrialState.COMPLETE:
            return known.value
        return _diverged(trial, known.user_attrs["diverged"])
    where = Path("trials") / name / f"{trial.number:04d}-{key}"
    trial.set_user_attr("folder", str(where))
    config = search.config.model_copy(update={"methods": {name: candidate}})
    scores = []
    for seed in search.seeds:
        try:
            run = search.folder / where / f"fold{search.fold}_seed{seed}"
            metrics = validate_run(config, name, search.fold, seed, run, data=data)
        except NonFiniteError as error:
            return _diverged(trial, str(error))
        scores.append(metrics[config.protocol.evaluation.select_by])
    return sum(scores) / len(scores)


def _suggest(trial, path, kind):
    if isinstance(kind, optuna.distributions.CategoricalDistribution):
        return trial.suggest_categorical(path, kind.choices)
    if isinstance(kind, optuna.distributions.IntDistribution):
        return trial.suggest_int(path, kind.low, kind.high, log=kind.log)
    return trial.suggest_float(path, kind.low, kind.high, log=kind.log)


def _diverged(trial, reason):
    trial.set_user_attr("diverged", reason)
    # The value of a pruned trial is the last one that it reported to Optuna.
    trial.report(_WORST, step=0)
    raise optuna.TrialPruned(reason)


def _known(search, storage, name, key):
    """A finished trial with the same settings, in this search or in one over another space."""
    for study_name in optuna.get_all_study_names(storage):
        if study_name.startswith(search.study_prefix(name)):
            study = optuna.load_study(study_name=study_name, storage=storage)
            for other in study.get_trials(deepcopy=False, states=_FINISHED):
                if other.user_attrs.get("key") == key:
                    return other
    return None


def _found(search, name, study) -> Found:
    trials = _counted(study, search.trials)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    best = max(complete, key=lambda trial: (trial.value, -trial.number))
    assert best.value is not None, "a complete trial has a value"
    method = search.config.methods[name]
    values = best.user_attrs["values"]
    own = _own_parameters(method)
    return Found(
        method=name,
        values=values,
        value=best.value,
        own_value=next((trial.value for trial in complete if trial.params == own), None),
        trials=len(trials),
        diverged=len(trials) - len(complete),
        at_edge=[path for path, value in values.items() if at_edge(method.search[path], value)],
    )
