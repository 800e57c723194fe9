"""SnapshotKeeper: keeps embeddings of a fixed sample, and proxies, while a run trains."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...files import disk_failure
from ...testers import EmbeddingSpacesTester
from ..assembly.pipeline import Pipeline
from ..assembly.proxies import kept_rows, proxies_of
from ..assembly.snapshot_plan import SnapshotPlan, balanced_sample
from ..results.array_file import read_arrays, write_arrays
from ..results.run_files import SNAPSHOTS_FILE
from ..results.snapshots import SPLITS, Snapshots, write_snapshots

# Split of the snapshots -> the subset whose images are not augmented.
_SUBSETS = dict(zip(SPLITS, ("scored_train", "test"), strict=True))
_LARGEST_FLOAT16 = torch.finfo(torch.float16).max


class SnapshotKeeper:
    """Embeds a sample of images at the epochs of the plan, for figures alone.

    Each epoch waits in a file of its own until the run has been scored. So a run that is resumed
    has the snapshots of an uninterrupted one. No random number is drawn: a run has the same numbers
    with and without snapshots.

    Args:
        pipeline: of the run.
        folder: of the run.
        log: receives a warning about an epoch that cannot be used.
    """

    def __init__(self, pipeline: Pipeline, folder: Path, log: logging.Logger):
        self.folder = folder
        self.log = log
        self.plan = SnapshotPlan.of(pipeline.protocol)
        self.subsets = {split: pipeline.subsets[name] for split, name in _SUBSETS.items()}
        self.rows = {
            split: balanced_sample(subset.labels[:, 0], self.plan.images)
            for split, subset in self.subsets.items()
        }
        self._loss = pipeline.loss
        self._sizes = pipeline.sizes
        self._num_classes = len(pipeline.classes.train)

    def keep(self, trainer: Any, tester: EmbeddingSpacesTester) -> None:
        """Embed the sample if this epoch of the trainer is one of the plan.

        Args:
            trainer: after an epoch.
            tester: that has scored it, so that the models are in evaluation mode.
        """
        if trainer.epoch in self.plan.epochs:
            embeddings = {split: self._embed(split, trainer, tester) for split in SPLITS}
            # Waiting for the disk would take longer than embedding the sample does. What a power
            # cut damages is found by its checksums, and left out.
            write_arrays(
                _waiting(self.folder, trainer.epoch),
                self._arrays(embeddings),
                survives_power_cut=False,
            )

    def resume(self, epoch: int) -> None:
        """Forget what was kept after the epoch from which the run is resumed."""
        for other in self.plan.epochs:
            if other > epoch:
                _waiting(self.folder, other).unlink(missing_ok=True)

    def finish(self, selected: int, embedded: dict[str, torch.Tensor]) -> None:
        """Write the snapshots of all epochs kept, with those of the selected checkpoint.

        Args:
            selected: epoch of the checkpoint, which the models and losses have been loaded from.
            embedded: "train" and "test" -> (N, D) embeddings of all their images with it.
        """
        chosen = {split: embedded[split][self.rows[split]] for split in SPLITS}
        epochs = {selected: self._arrays(chosen)}
        for epoch in self.plan.epochs:
            arrays = None if epoch == selected else self._kept(epoch, epochs[selected])
            if arrays is not None:
                epochs[epoch] = arrays
        ordered = [epochs[epoch] for epoch in sorted(epochs)]
        together = {name: np.stack([one[name] for one in ordered]) for name in ordered[0]}
        proxies = self._proxies()
        write_snapshots(
            self.folder,
            Snapshots(
                epochs=tuple(sorted(epochs)),
                selected=selected,
                indices={s: self.subsets[s].indices[self.rows[s]] for s in SPLITS},
                labels={s: self.subsets[s].labels[self.rows[s]] for s in SPLITS},
                embeddings={split: together[split] for split in SPLITS},
                proxies={name: together[f"proxies/{name}"] for name in proxies},
                proxy_space={name: kind.space for name, kind in proxies.items()},
                proxy_labels={name: kind.labels for name, kind in proxies.items()},
            ),
        )

    def _embed(self, split, trainer, tester):
        """Embed the sample without a data loader, which would draw a random number."""
        subset, models = self.subsets[split], trainer.models
        embeddings = []
        with torch.no_grad():
            for rows in np.split(
                self.rows[split], range(tester.batch_size, len(self.rows[split]), tester.batch_size)
            ):
                inputs, _ = subset.__getitems__(rows.tolist())
                embeddings.append(
                    tester.get_embeddings_for_eval(models["trunk"], models["embedder"], inputs)
                )
        return torch.cat(embeddings)

    def _proxies(self):
        found = proxies_of(self._loss, self._sizes, self._num_classes)
        classes = self.subsets["train"].labels[self.rows["train"], 0]
        rows = kept_rows(found, self.plan.proxy_numbers, np.unique(classes))
        return {name: kind.rows(rows[name]) for name, kind in found.items()}

    def _arrays(self, embeddings):
        """Return what is kept of one epoch, by name."""
        arrays = {split: _float16(vectors) for split, vectors in embeddings.items()}
        for name, kind in self._proxies().items():
            arrays[f"proxies/{name}"] = _float16(kind.vectors)
        return arrays

    def _kept(self, epoch, like):
        """Return the arrays of an epoch, None if they are missing or are not of this sample."""
        file = _waiting(self.folder, epoch)
        # A run that was begun by an earlier version, or without snapshots, lacks early epochs.
        if not file.is_file():
            return None
        try:
            arrays = read_arrays(file)
            shapes = {name: array.shape for name, array in arrays.items()}
            if shapes != {name: array.shape for name, array in like.items()}:
                raise ValueError("it is of another sample")
        # zipfile and NumPy raise what they like for damaged files.
        except Exception as error:
            failure = disk_failure(error, file)
            # A disk that fails once is no damage to the file: the next run reads it.
            if failure is not None:
                raise failure from error
            self.log.warning("%s lacks epoch %d: %s", SNAPSHOTS_FILE, epoch, error)
            return None
        return arrays


def remove_waiting(folder: Path) -> None:
    """Remove the files in which epochs waited for the end of the run."""
    for file in folder.glob(f".{SNAPSHOTS_FILE}.epoch*"):
        file.unlink()


def _waiting(folder, epoch):
    return folder / f".{SNAPSHOTS_FILE}.epoch{epoch}"


def _float16(vectors):
    vectors = vectors.float().clamp(-_LARGEST_FLOAT16, _LARGEST_FLOAT16)
    return vectors.half().cpu().numpy()
