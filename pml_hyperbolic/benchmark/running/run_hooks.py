"""RunHooks: PML's HookContainer, with checkpoints to resume from and records that stay sound."""

import logging
import math
import os
import re
import time
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..._pml import HookContainer
from ...checked_files import DamagedFile, open_checked, write_checked
from ..assembly.evaluation import clip_saturation, radius_histogram, space_metrics
from ..results.radii_by_epoch import RadiiByEpoch
from ..results.radius_histogram import RadiusHistogram, on_common_bins
from ..results.run_files import CHECKPOINT_FILE, LAST_FILE
from .records.record_files import named_errors, record_position
from .resumption import install_selected, selected_file
from .snapshot_keeper import SnapshotKeeper
from .training_state import restore_training, training_state

# Clip -> what is saturated -> the warning, which the advice follows.
_SATURATED = {
    "hard": {
        "embeddings": (
            "all embeddings are at the clip radius (saturation 1.0 at %s): they lie on one sphere, "
            "where hyperbolic ranking equals cosine ranking%s"
        ),
        "proxies": (
            "all proxies are at the clip radius (saturation 1.0 at %s): only their directions "
            "matter%s"
        ),
    },
    "smooth": {
        "embeddings": (
            "all embeddings are within 1 %% of the clip radius (saturation 1.0 at %s): they lie "
            "nearly on one sphere, where hyperbolic ranking is close to cosine ranking%s"
        ),
        "proxies": (
            "all proxies are within 1 %% of the clip radius (saturation 1.0 at %s): their radii "
            "hardly matter%s"
        ),
    },
}

# Hook attributes saved for resumption.
_SAVED = ("best_epoch", "best_scores", "saturation", "_columns", "_saturation_said", "_radii")


class RunHooks(HookContainer):
    """Record losses, saturation, radii, learning rates and scores, and save the state of the run.

    Two files are saved: the selected checkpoint, and after every epoch the whole state to resume
    training from. They are consistent whenever the process is killed, because a newly selected
    checkpoint waits under another name until the state that refers to it is on disk.

    record-keeper drops NumPy scalars, fails on some group names and corrupts its CSV files if
    columns change. So group names consist of letters, digits and underscores, values are Python
    floats, and each group keeps the columns that it started with.

    Args:
        record_keeper: the ``RecordKeeper`` to write to.
        folder: of the run.
        identity: plain data that identify the run; no other run is resumed from its state.
        select_space: the space whose validation score selects the checkpoint.
        primary_metric: the metric that selects the checkpoint.
        log: receives a warning about saturation, at most once a run.
        clip: "hard" (default) or "smooth", which decides what saturation means.
        advice: "embeddings" and "proxies" -> what lets their radii differ again, to follow the
            warning. Default: none.
        log_interval: number of steps between records, at least 1. Default 10.
        on_epoch: called after each scored epoch with (epoch, score). Default: nothing is called.
        snapshots: keeps snapshots of scored epochs. Default: none are kept.
    """

    def __init__(
        self,
        record_keeper,
        *,
        folder: Path,
        identity: dict[str, Any],
        select_space: str,
        primary_metric: str,
        log: logging.Logger,
        clip: str = "hard",
        advice: Mapping[str, str] | None = None,
        log_interval: int = 10,
        on_epoch: Callable[[int, float], None] | None = None,
        snapshots: SnapshotKeeper | None = None,
    ):
        super().__init__(
            record_keeper,
            primary_metric=primary_metric,
            validation_split_name="validation",
            log_freq=log_interval,
        )
        self.folder = folder
        self.identity = identity
        self.select_space = select_space
        self.log = log
        self.clip = clip
        self.advice = advice or {}
        self.on_epoch = on_epoch
        self.snapshots = snapshots
        self.best_epoch: int | None = None
        self.best_scores: dict[str, dict[str, float]] = {}
        self.saturation: dict[str, float] = {}
        self._columns: dict[str, list[str]] = {}
        self._saturation_said: list[str] = []
        # Plain data, as torch.load with weights_only takes it.
        self._radii: list[dict[str, Any]] = []
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds that this run has taken so far, in all the processes that worked on it."""
        return time.perf_counter() - self._started

    @property
    def radii(self) -> RadiiByEpoch:
        """Histograms of the radii of the hyperbolic validation embeddings so far."""
        if not self._radii:
            return RadiiByEpoch((), {}, {}, {})
        edges, counts = on_common_bins([RadiusHistogram(*one["histogram"]) for one in self._radii])
        return RadiiByEpoch(
            epochs=tuple(one["epoch"] for one in self._radii),
            edges={"hyperbolic": edges},
            counts={"hyperbolic": counts},
            saturation={"hyperbolic": np.array([one["saturation"] for one in self._radii])},
        )

    def end_of_iteration_hook(self, trainer) -> None:
        """Record the current step if it is a multiple of ``log_interval``."""
        step = trainer.get_global_iteration()
        if step % self.log_freq == 0:
            self._record("training", step, self._training_values(trainer))
            self._say_saturation(f"step {step}")

    def end_of_testing_hook(self, tester) -> None:
        """Record the scores of the splits that were just scored."""
        for split, accuracies in tester.all_accuracies.items():
            self.record_scores(split, accuracies["epoch"], space_metrics(tester, split))
        # PML's own losses do not report how many embeddings are clipped.
        if self.validation_split_name in tester.all_accuracies:
            saturation = clip_saturation(tester, self.validation_split_name)
            if saturation is not None:
                epoch = tester.all_accuracies[self.validation_split_name]["epoch"]
                self.saturation["validation_saturation"] = saturation
                self._record("saturation", epoch, {"validation_saturation": saturation})
                self._say_saturation(f"epoch {epoch}")
                self._radii.append(
                    {
                        "epoch": epoch,
                        "saturation": saturation,
                        "histogram": tuple(radius_histogram(tester, self.validation_split_name)),
                    }
                )

    def record_scores(self, split: str, epoch: int, scores: dict[str, dict[str, float]]) -> None:
        """Record the scores of a split, given as space -> metric -> value."""
        for space, metrics in scores.items():
            self._record(f"{split}_{space}", epoch, metrics)

    def save_models_and_eval(
        self,
        trainer,
        dataset_dict,
        model_folder,
        test_interval,
        tester,
        splits_to_eval=None,
        collate_fn=None,
    ) -> int | None:
        """Score the validation split, and save a checkpoint if it is the best so far."""
        tester.test(
            dataset_dict,
            trainer.epoch,
            trainer.models["trunk"],
            trainer.models["embedder"],
            splits_to_eval,
            collate_fn,
        )
        if self.snapshots is not None:
            self.snapshots.keep(trainer, tester)
        scores = space_metrics(tester, self.validation_split_name)
        score = scores[self.select_space][self.primary_metric]
        trainer.step_lr_plateau_schedulers(score)
        best = self.best_scores.get(self.select_space, {}).get(self.primary_metric, -math.inf)
        if score > best:
            self.best_epoch, self.best_scores = trainer.epoch, scores
            self._save_checkpoint(trainer)
        self.save_records()
        self.log.info(
            "epoch %d: validation %s %.4f in the %s space%s",
            trainer.epoch,
            self.primary_metric,
            score,
            self.select_space,
            ", the best so far" if self.best_epoch == trainer.epoch else "",
        )
        if self.on_epoch is not None:
            self.on_epoch(trainer.epoch, score)
        return self.best_epoch

    def end_of_epoch_hook(
        self, tester, dataset_dict, *, scored_epochs: Container[int] | None = None, **options
    ) -> Callable[[Any], bool]:
        """Return PML's hook, which scores the epoch, followed by :meth:`save_state`.

        Args:
            tester, dataset_dict, options: as PML's hook, which also takes a folder for the models;
                here they go into the run's.
            scored_epochs: other epochs are not scored. Default: PML's ``test_interval`` decides.
        """
        # PML makes the folder if it cannot be looked up, so it gets one that is always there: of
        # the run's own, a disk that fails just then would be said to hold it already.
        score = super().end_of_epoch_hook(tester, dataset_dict, os.sep, **options)

        def hook(trainer):
            skipped = scored_epochs is not None and trainer.epoch not in scored_epochs
            proceed = skipped or score(trainer)
            self.save_state(trainer)
            return proceed

        return hook

    def save_state(self, trainer) -> None:
        """Save everything that training resumes from; the records so far are written first."""
        self.save_records()
        if self.record_keeper.tensorboard_writer is not None:
            self.record_keeper.tensorboard_writer.flush()
        state = {
            "identity": self.identity,
            "training": training_state(trainer),
            "hooks": {name: getattr(self, name) for name in _SAVED},
            "seconds": self.seconds,
            "records": record_position(self.folder),
        }
        write_checked(self.folder / LAST_FILE, lambda file: torch.save(state, file))
        self._install_selected()

    def save_records(self) -> None:
        """Write the records so far.

        Raises:
            OSError: they cannot be written.
        """
        with named_errors(self.folder):
            self.record_keeper.save_records()

    def restore(self, trainer, state: dict[str, Any]) -> None:
        """Restore a :meth:`save_state` into a trainer that was built the same way."""
        restore_training(trainer, state["training"])
        for name, value in state["hooks"].items():
            setattr(self, name, value)
        self._started -= state["seconds"]
        if self.snapshots is not None:
            self.snapshots.resume(state["training"]["epoch"])

    def load_checkpoint(self, trainer) -> None:
        """Load the selected checkpoint into the trainer's models and losses.

        Raises:
            RuntimeError: no epoch was selected, because every validation score was NaN; or the
                checkpoint is damaged.
        """
        if self.best_epoch is None:
            raise RuntimeError(
                f"{trainer.name}: no epoch has a validation score, so none can be selected: every "
                f"validation class needs at least two images"
            )
        self._install_selected()
        try:
            with open_checked(self.folder / CHECKPOINT_FILE) as file:
                state = torch.load(file, map_location=trainer.data_device, weights_only=True)
        except DamagedFile as error:
            raise RuntimeError(
                f"{self.folder / CHECKPOINT_FILE} was damaged after it was written ({error}): "
                f"check the disk, then run again, which starts this run over"
            ) from error
        for kind in ("models", "loss_funcs"):
            for name, module in getattr(trainer, kind).items():
                module.load_state_dict(state[kind][name])

    def _save_checkpoint(self, trainer):
        state = {
            "epoch": trainer.epoch,
            "validation": self.best_scores,
            **{
                kind: {name: part.state_dict() for name, part in getattr(trainer, kind).items()}
                for kind in ("models", "loss_funcs")
            },
        }
        waiting = selected_file(self.folder, trainer.epoch)
        write_checked(waiting, lambda file: torch.save(state, file))

    def _install_selected(self):
        install_selected(self.folder, self.best_epoch)

    def _training_values(self, trainer):
        values = {"total_loss": float(trainer.losses["total_loss"].detach())}
        for loss_name, loss in trainer.loss_funcs.items():
            for path, module in loss.named_modules():
                prefix = f"{loss_name}_{path}" if path else loss_name
                for name, value in getattr(module, "sub_losses", {}).items():
                    values[f"{prefix}_{name}"] = float(value)
                for name in ("embedding_saturation", "proxy_saturation"):
                    value = getattr(module, name, None)
                    if value is not None and hasattr(module, "sub_losses"):
                        values[name] = self.saturation[name] = float(value)
        for key, optimizer in trainer.optimizers.items():
            for i, group in enumerate(optimizer.param_groups):
                values[f"{key.removesuffix('_optimizer')}_lr_{i}"] = group["lr"]
        return values

    def _say_saturation(self, when):
        for name, value in self.saturation.items():
            points = "proxies" if name == "proxy_saturation" else "embeddings"
            if value == 1.0 and points not in self._saturation_said:
                self._saturation_said.append(points)
                advice = self.advice.get(points)
                warning = _SATURATED[self.clip][points]
                self.log.warning(warning, when, f"; {advice}" if advice else "")

    def _record(self, group, iteration, values):
        columns = self._columns.setdefault(group, list(values))
        record = {_clean(name): float(values.get(name, math.nan)) for name in columns}
        self.record_keeper.update_records(record, iteration, parent_name=_clean(group))


def _clean(name):
    """Return a name that is valid for the SQLite tables and columns of record-keeper."""
    return re.sub(r"\W", "_", name)
