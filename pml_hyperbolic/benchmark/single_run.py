"""One method on one fold under one seed: trained, selected on validation, scored once on test."""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch

from .config import BenchmarkConfig
from .datasets.image_subset import keep_batch
from .environment import describe_environment
from .evaluation import select_space, space_metrics
from .files import write_json, write_text
from .pipeline import Pipeline, run_title
from .run_hooks import RunHooks
from .yaml_files import dump_yaml

RESULT_FILE = "result.json"
CONFIG_FILE = "config.yaml"
CHECKPOINT_FILE = "checkpoint.pt"


def execute_run(
    config: BenchmarkConfig,
    method_name: str,
    fold: int,
    seed: int,
    folder: Path,
    *,
    tensorboard: bool = False,
    on_epoch: Callable[[int, float], None] | None = None,
) -> list[dict]:
    """Do one run and leave its folder complete; what an unfinished run left there is discarded.

    Args:
        config: the whole benchmark.
        method_name: a key of ``config.methods``.
        fold: of this run.
        seed: of this run.
        folder: of this run.
        tensorboard: write TensorBoard events too. Default False.
        on_epoch: called after each scored epoch with (epoch, score).

    Returns:
        A row of results.json for each space.
    """
    start = time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    method = config.methods[method_name]
    resolved = {
        "name": config.name,
        "protocol_hash": config.protocol.hash,
        "method_hash": method.hash,
        "fold": fold,
        "seed": seed,
        "protocol": config.protocol.model_dump(),
        "method": {"name": method_name, **method.model_dump()},
    }
    write_text(folder / CONFIG_FILE, dump_yaml(resolved))
    torch.set_num_threads(config.protocol.threads)
    with RunLog(folder / "run.log") as log:
        pipeline = Pipeline(config.protocol, method, method_name, seed, fold)
        write_json(
            folder / "environment.json", {"seed": seed, **describe_environment(pipeline.device)}
        )
        log.info("%s, protocol %s", run_title(method_name, fold, seed), config.protocol.hash)
        try:
            hooks, test = _train_and_test(pipeline, folder, log, tensorboard, on_epoch)
        except Exception as error:
            log.exception("%s: %s", type(error).__name__, error)
            raise
        seconds = time.perf_counter() - start
        log.info("done in %.1f s, epoch %d was selected", seconds, hooks.best_epoch)
    rows = [
        {
            "method": method_name,
            "space": space,
            "fold": fold,
            "seed": seed,
            "epoch": hooks.best_epoch,
            "seconds": round(seconds, 3),
            "dimension": size,
            "total_dimension": config.protocol.embedding_size,
            "protocol_hash": config.protocol.hash,
            "method_hash": method.hash,
            "saturation": hooks.saturation,
            "test": test[space],
            "validation": hooks.best_scores[space],
        }
        for space, size in pipeline.sizes.items()
    ]
    # Written last: its presence says that the run is finished.
    write_json(folder / RESULT_FILE, rows)
    return rows


def run_folder(benchmark: Path, method: str, fold: int, seed: int) -> Path:
    """The folder of one run in its benchmark's folder."""
    return benchmark / method / f"fold{fold}_seed{seed}"


class RunLog:
    """The log file of one run, which PML's own messages go to as well; a context manager."""

    def __init__(self, path: Path):
        self.path = path
        self.logger = logging.getLogger("pml_hyperbolic.run")

    def __enter__(self) -> logging.Logger:
        self._handler = logging.FileHandler(self.path, encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._before = []
        for logger in (self.logger, logging.getLogger("PML")):
            self._before.append((logger, logger.level, logger.propagate))
            logger.addHandler(self._handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        return self.logger

    def __exit__(self, *exception) -> None:
        for logger, level, propagate in self._before:
            logger.removeHandler(self._handler)
            logger.setLevel(level)
            logger.propagate = propagate
        self._handler.close()


def _train_and_test(pipeline, folder, log, tensorboard, on_epoch):
    from pytorch_metric_learning.utils import common_functions as c_f
    from record_keeper import RecordKeeper, RecordWriter

    writer = None
    if tensorboard:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(log_dir=str(folder / "tensorboard"))
    keeper = RecordKeeper(
        tensorboard_writer=writer,
        record_writer=RecordWriter(str(folder / "records")),
        attributes_to_search_for=c_f.list_of_recordable_attributes_list_names(),
    )
    evaluation = pipeline.protocol.evaluation
    hooks = RunHooks(
        keeper,
        checkpoint=folder / CHECKPOINT_FILE,
        select_space=select_space(pipeline.sizes),
        primary_metric=evaluation.select_by,
        log=log,
        on_epoch=on_epoch,
    )
    tester = pipeline.tester(end_of_testing_hook=hooks.end_of_testing_hook)
    trainer = pipeline.trainer(
        end_of_iteration_hook=hooks.end_of_iteration_hook,
        end_of_epoch_hook=hooks.end_of_epoch_hook(
            tester,
            {"validation": pipeline.subsets["validation"]},
            str(folder),
            test_interval=evaluation.every,
            test_collate_fn=keep_batch,
        ),
    )
    trainer.train(num_epochs=pipeline.protocol.epochs)
    hooks.load_checkpoint(trainer)
    tester.test(
        {"test": pipeline.subsets["test"]},
        hooks.best_epoch,
        trainer.models["trunk"],
        trainer.models["embedder"],
        collate_fn=keep_batch,
    )
    test = space_metrics(tester, "test")
    keeper.save_records()
    if writer is not None:
        writer.close()
    return hooks, test
