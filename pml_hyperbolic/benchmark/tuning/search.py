"""Equal tuning: the same number of Optuna trials for each method, on validation classes only."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import optuna
import torch
from optuna.trial import TrialState

from ...distributed.worker_process import become_worker, ended_in_order
from ...errors import InputError, message_of
from ...files import (
    content_hash,
    disk_failure,
    explain_os_error,
    make_output_folder,
    write_text,
)
from ...trainers import NonFiniteError
from ..assembly.protocol_data import ProtocolData
from ..checking.check import check_benchmark
from ..config import BenchmarkConfig, value_at
from ..running.folder_lock import FolderLock
from ..running.single_run import validate_run
from .checked_studies import CheckedStudies
from .heartbeat import GRACE_SECONDS
from .proposals import Proposals
from .repeatable_sampler import LEARNT_FROM
from .search_job import SearchJob
from .search_space import (
    at_edge,
    distribution,
    points,
    size,
    spread,
    suggest,
    to_parameter,
    to_value,
)
from .storage import STORAGE_ERRORS, StorageLostError, opened_storage, sqlite_file
from .trial_checksum import FINISHED
from .tuned_config import Found, tuned_files

POLL_SECONDS = 1.0
LOCK_SECONDS = 60.0
# Every metric that can select a checkpoint is a share, so 0 is the worst value.
_WORST = 0.0


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
    if they lie outside. A space with no more points than trials is searched completely; in a larger
    one the next trials are spread evenly, and from the eleventh on TPE proposes them. A trial that
    diverges counts with the worst score, and settings that were tried before are not trained
    again. Finished trials are kept: the same call resumes the search, and any number of processes
    and machines may share a storage. Trials train on the first of the folds to run. With one
    worker the trials are the same however often it is killed and started again; with several they
    depend on the order in which trials finish, but each is done once.

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
        StorageLostError: the storage failed during the search.
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
    fold, identity = config.protocol.folds[0], uuid.uuid4().hex
    search = SearchJob(config, checked.data, trials, fold, chosen, url, folder, identity)
    with opened_storage(url) as opened:
        studies = CheckedStudies(opened)
        proposals = _proposals(search, studies)
        done = _done(proposals)
        if done:
            say(f"{done} of {trials * len(proposals)} trials are finished already")
        if data.frozen_trunk is not None:
            # Once, before worker processes would wait for each other.
            data.frozen_trunk.features  # noqa: B018
        unsure = sum(mine.reclaim() for mine in proposals.values())
        if unsure:
            say(
                f"trials that another process began: {unsure}; they are begun again if it shows no "
                f"sign of life for {GRACE_SECONDS:g} seconds"
            )
        with _progress(search, proposals, show_progress) as show:
            if jobs == 1:
                errors = _work_here(search, studies, proposals, show, data)
            else:
                with ended_in_order():
                    errors = _work_in_processes(search, proposals, jobs, show)
        found = []
        for name, mine in proposals.items():
            if name in errors:
                continue
            if any(trial.state == TrialState.COMPLETE for trial in mine.finished()):
                found.append(_found(search, name, mine))
            else:
                errors[name] = (
                    f"all {trials} trials diverged: lower the learning rates of its space"
                )
    if not errors:
        # Other searches with the same storage end at the same time, perhaps in the same folder.
        with FolderLock(folder, wait=LOCK_SECONDS):
            for path, text in tuned_files(config, chosen, found, folder).items():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_text(path, text)
    return found, errors


def _check(config, seeds):
    for name, method in config.methods.items():
        if method.flat_twin_of is not None:
            raise InputError(
                f"{name} is the flat twin of {method.flat_twin_of} and shares its settings, which "
                f"a search of its own would change: leave it out of methods "
                f"(curvature_control: true adds twins to the tuned benchmark), or leave out its "
                f"flat_twin_of"
            )
        if not config.search_space(name):
            raise InputError(
                f"{name} declares no search space: add for example search: {{loss_lr: {{low: 1e-4, "
                f"high: 10, log: true}}}} to its file, or leave it out of methods: either all are "
                f"tuned equally or none is"
            )
        try:
            method.check_searched_rates()
        except ValueError as error:
            raise InputError(f"{name}: {error}") from None
    if seeds > len(config.protocol.seeds):
        raise InputError(
            f"--seeds {seeds}: protocol.seeds has only {len(config.protocol.seeds)} seeds: lower "
            f"--seeds, or add seeds to the protocol"
        )


def _proposals(search, studies) -> dict[str, Proposals]:
    """The proposals of all methods."""
    return {
        name: Proposals(
            search.study_name(name),
            studies,
            trials=search.trials,
            plan=_plan(search, name),
            distributions={path: distribution(one) for path, one in search.space(name).items()},
            search=search.identity,
        )
        for name in search.config.methods
    }


def _plan(search, name):
    """The points that a method tries first, as Optuna's parameters."""
    space = search.space(name)
    own = _own_parameters(search, name)
    rest = points(space) if size(space) <= search.trials else spread(space, LEARNT_FROM - 1)
    return [own, *(point for point in rest if point != own)]


def _own_parameters(search, name):
    content = search.config.methods[name].model_dump()
    return {
        path: to_parameter(allowed, value_at(content, path))
        for path, allowed in search.space(name).items()
    }


def _done(proposals):
    return sum(len(mine.finished()) for mine in proposals.values())


@contextlib.contextmanager
def _progress(search, proposals, show):
    """A function that updates a progress bar of finished trials, to be called now and then."""
    from tqdm import tqdm

    total = search.trials * len(proposals)
    with tqdm(
        total=total,
        initial=_done(proposals),
        desc=f"{search.config.name}-search",
        unit="trial",
        disable=not show,
        mininterval=0.1 if os.isatty(2) else 10,
        dynamic_ncols=True,
    ) as bar:
        yield lambda: bar.update(_done(proposals) - bar.n)


def _work_here(search, studies, proposals, show, data):
    threads = torch.get_num_threads()
    try:
        return _work(search, studies, proposals, 0, show, data)
    finally:
        torch.set_num_threads(threads)


def _work_in_processes(search, proposals, jobs, show):
    # A forked child would inherit locked thread pools of torch.
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    workers = [
        context.Process(target=_worker, args=(search, first, answers)) for first in range(jobs)
    ]
    errors: dict[str, str] = {}

    def take_answers():
        while not answers.empty():
            answer = answers.get()
            if isinstance(answer, StorageLostError):
                raise answer
            errors.update(answer)

    try:
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            multiprocessing.connection.wait(
                [worker.sentinel for worker in workers if worker.is_alive()], timeout=POLL_SECONDS
            )
            take_answers()
            show()
        take_answers()
    finally:
        # After an interruption the unfinished trials will be redone, so nobody waits for them.
        for worker in workers:
            worker.terminate()
            worker.join()
        with contextlib.suppress(*STORAGE_ERRORS):
            for mine in proposals.values():
                mine.abandon_own()
    for name, mine in proposals.items():
        if name not in errors and not mine.done:
            errors[name] = (
                "the worker processes were killed or ran out of memory: search again with fewer "
                "--jobs"
            )
    return errors


def _worker(search, first, answers):
    become_worker()
    try:
        with opened_storage(search.storage) as storage:
            data = ProtocolData(search.config.protocol)
            studies = CheckedStudies(storage)
            proposals = _proposals(search, studies)
            answers.put(_work(search, studies, proposals, first, lambda: None, data))
    # The process that started this one reports it.
    except StorageLostError as error:
        answers.put(error)
    except InputError as error:
        answers.put(StorageLostError(str(error)))
    # The same disk fails for all methods: one line is enough.
    except OSError as error:
        answers.put(StorageLostError(explain_os_error(error)))


def _work(search, studies, proposals, first, show, data) -> dict[str, str]:
    """Do trials until every method has enough; the errors of methods that fail."""
    names = list(proposals)
    # Workers begin with different methods, so that most studies have one worker.
    names = names[first % len(names) :] + names[: first % len(names)]
    errors: dict[str, str] = {}
    while True:
        open_names = [name for name in names if name not in errors and not proposals[name].done]
        if not open_names:
            return errors
        for name in open_names:
            # What is proposed depends on the trials before it, so their fate is learnt first.
            if proposals[name].reclaim():
                continue
            trial = proposals[name].claim()
            if trial is None:
                continue
            error = _try(search, studies, proposals[name], name, trial, data)
            if error is not None:
                errors[name] = error
            show()
            break
        else:
            # Other workers do the last trials. If one of them dies, its trial comes back.
            time.sleep(POLL_SECONDS)


def _try(search, studies, proposals, name, trial, data) -> str | None:
    """Carry out a trial; the error of the method if it fails."""
    try:
        with proposals.heartbeat(trial):
            value = _objective(search, studies, name, trial, data)
    except optuna.TrialPruned:
        proposals.finish(trial, TrialState.PRUNED, _WORST)
    except STORAGE_ERRORS:
        raise
    # Whatever goes wrong with one method, the others go on.
    except Exception as error:
        failure = disk_failure(error, sqlite_file(search.storage))
        if failure is not None:
            raise failure from error
        # A trial that another worker took over may have lost its folder.
        if proposals.finish(trial, TrialState.FAIL):
            reason = message_of(error)
            return f"{type(error).__name__}: {reason}"
    except BaseException:
        proposals.finish(trial, TrialState.FAIL)
        raise
    else:
        proposals.finish(trial, TrialState.COMPLETE, value)
    return None


def _objective(search, studies, name, trial, data) -> float:
    method = search.config.methods[name]
    values = {
        path: to_value(allowed, suggest(trial, path, allowed))
        for path, allowed in search.space(name).items()
    }
    candidate = method.with_values(values)
    key = content_hash([candidate.hash, search.fold, search.seeds])
    trial.set_user_attr("values", values)
    trial.set_user_attr("key", key)
    known = _known(search, studies, name, key)
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


def _diverged(trial, reason):
    trial.set_user_attr("diverged", reason)
    # TPE ranks pruned trials by what they reported.
    trial.report(_WORST, step=0)
    raise optuna.TrialPruned(reason)


def _known(search, studies, name, key):
    """A finished trial with the same settings, in this search or in one over another space."""
    for study_name in studies.names():
        if study_name.startswith(search.study_prefix(name)):
            for other in studies.trials(study_name, FINISHED):
                if other.user_attrs.get("key") == key:
                    return other
    return None


def _found(search, name, proposals) -> Found:
    trials = proposals.finished()
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    # Of equal trials the one that was proposed first.
    best = max(complete, key=lambda trial: trial.value)
    assert best.value is not None, "a complete trial has a value"
    space = search.space(name)
    values = best.user_attrs["values"]
    own = _own_parameters(search, name)
    return Found(
        method=name,
        values=values,
        value=best.value,
        own_value=next((trial.value for trial in complete if trial.params == own), None),
        trials=len(trials),
        diverged=len(trials) - len(complete),
        at_edge=[
            path
            for path, value in values.items()
            if at_edge(space[path], value, [trial.user_attrs["values"][path] for trial in trials])
        ],
    )
