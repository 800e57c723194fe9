"""One method on one fold under one seed: trained, selected on validation, scored once on test."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ...checked_files import read_checked_json, write_checked_json, write_checked_text
from ...errors import message_of
from ...trainers import NonFiniteError
from ..assembly.evaluation import select_space
from ..assembly.pipeline import Pipeline, run_title
from ..assembly.protocol_data import ProtocolData
from ..config import BenchmarkConfig, MethodConfig
from ..config.yaml_files import dump_yaml
from ..datasets import keep_batch
from ..environment import describe_environment, peak_memory, reset_peak_memory
from ..measuring.final_scores import Retrieval, finest_scores
from ..measuring.run_measures import measure_trained
from ..measuring.run_scores import EmbeddedTestSet, RunScores, save_test, score_test
from ..measuring.saturation_advice import saturation_advice, starts_inside
from ..results.row import Geometry, ParameterCounts, Row, write_rows
from ..results.run_files import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    LAST_FILE,
    LOG_FILE,
    MEASURES_FILE,
    RECORDS_FOLDER,
    RESULT_FILE,
    RUN_FILES,
    SNAPSHOTS_FILE,
    TENSORBOARD_FOLDER,
    refuse_links,
    remove_run_files,
)
from ..results.run_measures import write_measures
from ..results.snapshots import write_radii
from .folder_lock import FolderLock
from .freed_memory import keep_freed_memory
from .process_group import train_together
from .records.record_files import named_errors, seal_records
from .resumption import CannotResume, stored_state
from .run_hooks import RunHooks
from .run_log import RunLog
from .snapshot_keeper import SnapshotKeeper, remove_waiting

_LOG = logging.getLogger(__name__)
# How long a worker may outlive its killed parent.
_ORPHAN_SECONDS = 30


def execute_run(
    config: BenchmarkConfig,
    method_name: str,
    fold: int,
    seed: int,
    folder: Path,
    *,
    data: ProtocolData | None = None,
    tensorboard: bool = False,
    on_epoch: Callable[[int, float], None] | None = None,
) -> list[Row]:
    """Do one run and leave its folder complete; an unfinished run is resumed.

    On a CPU the numbers equal those of an uninterrupted run, bit for bit. What cannot be resumed
    is discarded and run again; the log says what and why.

    Args:
        config: the whole benchmark.
        method_name: a key of ``config.methods``.
        fold: of this run.
        seed: of this run.
        folder: of this run.
        data: of the protocol, where other runs share it. Default: it is read.
        tensorboard: also write TensorBoard events. Default False.
        on_epoch: called after each scored epoch with (epoch, score). Default: nothing is called.

    Returns:
        The rows of this run, one for each space.

    Raises:
        NonFiniteError: the loss became NaN or infinite; names the last good checkpoint.
        InputError: another process is working on this run.
    """
    refuse_links(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with FolderLock(folder, files=RUN_FILES, wait=_ORPHAN_SECONDS):
        identity = _identity(config, method_name, fold, seed)
        arguments = (config, identity, folder, data, tensorboard, on_epoch)
        unusable = None
        try:
            state = stored_state(folder, identity)
            if state is not None:
                return _run(*arguments, state=state)
        except CannotResume as error:
            unusable = error
            _LOG.warning("%s starts over: %s", folder, error)
        remove_run_files(folder)
        return _run(*arguments, unusable=unusable)


def validate_run(
    config: BenchmarkConfig,
    method_name: str,
    fold: int,
    seed: int,
    folder: Path,
    *,
    data: ProtocolData | None = None,
) -> dict[str, float]:
    """Train one method on one fold under one seed without a look at the test classes.

    Args:
        config: the whole benchmark.
        method_name: a key of ``config.methods``.
        fold: of this run.
        seed: of this run.
        folder: for the log and the records; those of an earlier run are discarded. No checkpoint
            is left.
        data: of the protocol, where other runs share it. Default: it is read.

    Returns:
        The validation scores of the selected epoch, in the space that selects.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
    """
    refuse_links(folder)
    folder.mkdir(parents=True, exist_ok=True)
    remove_run_files(folder)
    torch.set_num_threads(config.protocol.threads)
    keep_freed_memory()
    with RunLog(folder / LOG_FILE) as log:
        data = ProtocolData(config.protocol) if data is None else data
        pipeline = Pipeline(data, config.methods[method_name], method_name, seed, fold)
        try:
            _, hooks = _train(pipeline, folder, log, _identity(config, method_name, fold, seed))
        except Exception as error:
            log.exception("%s: %s", type(error).__name__, error)
            raise
        finally:
            for file in (CHECKPOINT_FILE, LAST_FILE):
                (folder / file).unlink(missing_ok=True)
    return hooks.best_scores[select_space(pipeline.sizes)]


def declarations(method: MethodConfig) -> dict[str, Any]:
    """Return what the rows of a method repeat of its config although it changes no numbers."""
    return {
        "search_trials": method.search_trials,
        "flat_twin_of": method.flat_twin_of,
        "different_parameters": method.different_parameters,
        "different_search_trials": method.different_search_trials,
    }


def result_rows(
    pipeline: Pipeline, hooks: RunHooks, test: RunScores, train: dict[str, dict[str, float]]
) -> list[Row]:
    """Return the rows of a run: one for each space.

    Args:
        pipeline: of the run.
        hooks: that selected the checkpoint.
        test: scores of the test classes, with the selected checkpoint.
        train: space -> metric -> value, of the training classes, likewise.
    """
    method = pipeline.method
    geometry = None if pipeline.geometry is None else Geometry.model_validate(pipeline.geometry)
    # Loading the checkpoint has failed if no epoch was selected.
    assert hooks.best_epoch is not None
    return [
        Row(
            method=pipeline.name,
            space=space,
            fold=pipeline.fold,
            seed=pipeline.seed,
            epoch=hooks.best_epoch,
            seconds=round(hooks.seconds, 3),
            dimension=size,
            total_dimension=pipeline.total_dimension,
            protocol_hash=pipeline.protocol.hash,
            data=pipeline.data_fingerprint,
            method_hash=method.hash,
            **declarations(method),
            saturation=_defined(hooks.saturation),
            parameters=ParameterCounts.model_validate(pipeline.parameter_counts),
            geometry=geometry if space == "hyperbolic" else None,
            levels=pipeline.level_names,
            test=test.test[space],
            test_levels=test.levels[space],
            validation=hooks.best_scores[space],
            train=_defined(train[space]),
        )
        for space, size in pipeline.sizes.items()
    ]


def _identity(config, method_name, fold, seed):
    return {
        "name": config.name,
        "protocol_hash": config.protocol.hash,
        "method_hash": config.methods[method_name].hash,
        "method": method_name,
        "fold": fold,
        "seed": seed,
    }


def _run(config, identity, folder, data, tensorboard, on_epoch, *, state=None, unusable=None):
    method_name, fold, seed = (identity[key] for key in ("method", "fold", "seed"))
    method = config.methods[method_name]
    resolved = {
        **identity,
        "protocol": config.protocol.model_dump(),
        "method": {"name": method_name, **method.model_dump()},
    }
    write_checked_text(folder / CONFIG_FILE, dump_yaml(resolved))
    torch.set_num_threads(config.protocol.threads)
    keep_freed_memory()
    with RunLog(folder / LOG_FILE) as log:
        data = ProtocolData(config.protocol) if data is None else data
        pipeline = Pipeline(data, method, method_name, seed, fold)
        environment = {"seed": seed, **describe_environment(pipeline.device)}
        if state is not None:
            environment |= _begun_with_others(folder / ENVIRONMENT_FILE, environment, log)
        write_checked_json(folder / ENVIRONMENT_FILE, environment)
        reset_peak_memory(pipeline.device)
        log.info("%s, protocol %s", run_title(method_name, fold, seed), config.protocol.hash)
        if unusable is not None:
            log.warning("starting over: %s", unusable)
        snapshots = SnapshotKeeper(pipeline, folder, log) if config.keep_snapshots else None
        try:
            hooks, scores, train, test_set = _train_and_test(
                pipeline, folder, log, tensorboard, on_epoch, identity, state, snapshots
            )
        except Exception as error:
            log.exception("%s: %s", type(error).__name__, error)
            raise
        environment["peak_memory"] = peak_memory(pipeline.device)
        write_checked_json(folder / ENVIRONMENT_FILE, environment)
        log.info("done in %.1f s, epoch %d was selected", hooks.seconds, hooks.best_epoch)
    rows = result_rows(pipeline, hooks, scores, train)
    _store_measures(pipeline, rows, test_set, folder, log)
    # The result is written last: a run is finished if and only if it exists.
    write_rows(folder / RESULT_FILE, rows)
    (folder / LAST_FILE).unlink(missing_ok=True)
    remove_waiting(folder)
    return rows


def _begun_with_others(file, environment, log):
    """Return ``begun_with``, the packages that a resumed run began with, if they differ."""
    try:
        stored = read_checked_json(file)
        before = stored.get("begun_with", stored["packages"])
        changed = sorted(set(before.items()) - set(environment["packages"].items()))
    except FileNotFoundError:
        return {}
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        log.warning("%s is damaged, so it is written anew: %s", file.name, error)
        return {}
    if before == environment["packages"]:
        return {}
    log.warning(
        "begun with other packages: %s", ", ".join(f"{name} {version}" for name, version in changed)
    )
    return {"begun_with": before}


def _train_and_test(pipeline, folder, log, tensorboard, on_epoch, identity, state, snapshots):
    with _tensorboard_events(folder, tensorboard) as writer:
        trainer, hooks = _train(pipeline, folder, log, identity, writer, on_epoch, state, snapshots)
        hooks.load_checkpoint(trainer)
        scores, train, test_set, trained = _score_selected(pipeline, trainer, folder)
        write_radii(folder, hooks.radii)
        if snapshots is None:
            # A run that was interrupted here may have had them.
            (folder / SNAPSHOTS_FILE).unlink(missing_ok=True)
        else:
            embedded = {"train": trained, "test": test_set.embeddings}
            snapshots.finish(hooks.best_epoch, embedded)
        for split, by_space in (("test", scores.test), ("train", train)):
            hooks.record_scores(split, hooks.best_epoch, by_space)
        hooks.save_records()
    seal_records(folder)
    return hooks, scores, train, test_set


@contextmanager
def _tensorboard_events(folder: Path, wanted: bool) -> Iterator[Any]:
    """A writer of TensorBoard events, whose thread ends with the block; None if none is wanted."""
    if not wanted:
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(log_dir=str(folder / TENSORBOARD_FOLDER)) as writer:
        yield writer


def _train(pipeline, folder, log, identity, writer=None, on_epoch=None, state=None, snapshots=None):
    """Train to the last epoch and return (trainer, hooks); the selected epoch is a checkpoint."""
    from record_keeper import RecordKeeper

    from ..._pml import common_functions as c_f
    from .records.appending_writer import AppendingWriter

    with named_errors(folder):
        record_writer = AppendingWriter(str(folder / RECORDS_FOLDER))
    keeper = RecordKeeper(
        tensorboard_writer=writer,
        record_writer=record_writer,
        attributes_to_search_for=c_f.list_of_recordable_attributes_list_names(),
    )
    evaluation = pipeline.protocol.evaluation
    hooks = RunHooks(
        keeper,
        folder=folder,
        identity=identity,
        select_space=select_space(pipeline.sizes),
        primary_metric=evaluation.select_by,
        log=log,
        clip="hard" if pipeline.distance is None else pipeline.distance.clip,
        advice=_advice(pipeline),
        on_epoch=on_epoch,
        snapshots=snapshots,
    )
    tester = pipeline.tester(end_of_testing_hook=hooks.end_of_testing_hook)
    trainer = pipeline.trainer(
        end_of_iteration_hook=hooks.end_of_iteration_hook,
        end_of_epoch_hook=hooks.end_of_epoch_hook(
            tester,
            {"validation": pipeline.subsets["validation"]},
            scored_epochs=evaluation.scored_epochs(pipeline.protocol.epochs),
            test_collate_fn=keep_batch,
        ),
    )
    if state is not None:
        try:
            hooks.restore(trainer, state)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CannotResume(f"{LAST_FILE} does not fit: {error}") from error
        log.info("resumed after epoch %d", state["training"]["epoch"])
    try:
        train_together(pipeline, trainer, state and state["training"])
    except NonFiniteError as error:
        raise NonFiniteError(f"{error}; {_last_good(folder, trainer)}") from error
    hooks.save_records()
    return trainer, hooks


def _advice(pipeline):
    """What lets radii differ again if all points are at the clip radius."""
    size = min(pipeline.trunk_features, pipeline.sizes.get("hyperbolic", 1))
    inside = starts_inside(pipeline.method.head, size, pipeline.distance)
    return saturation_advice(pipeline.method, pipeline.protocol, inside=inside)


def _score_selected(pipeline, trainer, folder):
    """Score the selected checkpoint.

    Returns:
        Scores of the test classes, scores of the training classes by space, the embedded test
        set, and the embeddings of the training images.
    """
    tester = pipeline.tester()
    spaces = tester.accuracy_calculator.spaces

    def embed(name):
        return tester.get_all_embeddings(
            pipeline.subsets[name], trainer.models["trunk"], trainer.models["embedder"], keep_batch
        )

    embeddings, labels = embed("test")
    test_set = EmbeddedTestSet(
        embeddings, labels, pipeline.subsets["test"].indices, pipeline.query, pipeline.gallery
    )
    scores = score_test(spaces, test_set, pipeline.level_names)
    if any(math.isnan(value) for metrics in scores.test.values() for value in metrics.values()):
        raise RuntimeError(
            f"{trainer.name}: the test classes cannot be scored, because no query has another "
            f"image of its class to find: add images to them"
        )
    save_test(folder, test_set, scores)
    trained = Retrieval(*embed("scored_train"))
    train = {
        space: finest_scores(calculator, trained.columns(columns))[0]
        for space, (columns, calculator) in spaces.items()
    }
    return scores, train, test_set, trained.query


def _store_measures(pipeline, rows, test_set, folder, log):
    """Measure geometry and hierarchy once, for all reports; a run without them is finished too."""
    try:
        measures = measure_trained(pipeline, rows, test_set)
        write_measures(folder / MEASURES_FILE, measures)
    except OSError:
        raise
    # Reports measure again where this failed, and say what is wrong.
    except Exception as error:
        log.warning("not measured: %s: %s", type(error).__name__, message_of(error))


def _defined(values: dict[str, float]) -> dict[str, float]:
    """Leave out NaN, such as the scores of classes that have one image each."""
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _last_good(folder: Path, trainer) -> str:
    last = folder / LAST_FILE
    if not last.exists():
        return "no epoch was finished, so there is no good checkpoint"
    return f"the last good checkpoint is {last}, of epoch {trainer.epoch - 1}"
