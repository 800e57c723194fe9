"""The one place that knows which generation of pytorch-metric-learning (PML) is installed.

PML 3 drops trainers, testers, logging presets and recorded statistics, moves evaluation, makes its
helpers private and renames its hooks. Outside this file the library imports PML's ``distances``,
``losses``, ``miners``, ``reducers`` and ``regularizers``, which both generations have, and nothing
else of PML; everything that differs is asked for here. ``docs/pml3.md`` states what PML 3 documents
and what of it is tested.
"""

import importlib
import importlib.metadata
import logging
from typing import Any

import numpy as np
import torch
from pytorch_metric_learning.losses import BaseMetricLossFunction

# PML 3 is told by the hook that it documents, not by a version number: what counts is what PML's
# base class will call.
IS_VERSION_3 = hasattr(BaseMetricLossFunction, "default_distance")

# What this library takes from other parts of PML -> where version 2 has it, where version 3. None:
# not there, or there under another contract.
_PLACES: dict[str, tuple[str | None, str | None]] = {
    "common_functions": ("utils", None),
    "AccuracyCalculator": ("utils.accuracy_calculator", "evaluation"),
    "EQUALITY": ("utils.accuracy_calculator", None),
    "maybe_get_avg_of_avgs": ("utils.accuracy_calculator", None),
    "nan_accuracy": ("utils.accuracy_calculator", None),
    "try_getting_not_lone_labels": ("utils.accuracy_calculator", None),
    "RetrievalMetric": (None, "evaluation"),
    "precision_at_k": (None, "evaluation"),
    "FaissKNN": ("utils.inference", "evaluation"),
    "BaseTrainer": ("trainers", None),
    "MetricLossOnly": ("trainers", None),
    "GlobalEmbeddingSpaceTester": ("testers", None),
    "DistributedLossWrapper": ("utils.distributed", "distributed"),
    "HookContainer": ("utils.logging_presets", None),
    "MPerClassSampler": ("samplers", None),
}


def __getattr__(name: str) -> Any:
    """A part of PML by its name, imported when it is asked for.

    Raises:
        ImportError: the installed generation does not have it; one line with the remedy.
    """
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place = _PLACES[name][IS_VERSION_3]
    if place is None:
        raise ImportError(_other_version_needed(name), name="pytorch_metric_learning")
    return getattr(importlib.import_module(f"pytorch_metric_learning.{place}"), name)


def _other_version_needed(name):
    installed = importlib.metadata.version("pytorch-metric-learning")
    if IS_VERSION_3:
        return (
            f"the trainers, testers and benchmarks of pml_hyperbolic need pytorch-metric-learning "
            f"2.9, but {installed} is installed, which has no {name} for them: "
            f'pip install "pml-hyperbolic[benchmark]"'
        )
    return f"{name} needs pytorch-metric-learning 3, but {installed} is installed: update it"


def logger() -> logging.Logger:
    """PML's logger: version 2 lets users rename it, version 3 has none."""
    return logging.getLogger("PML") if IS_VERSION_3 else __getattr__("common_functions").LOGGER


def numpy_random() -> Any:
    """What PML draws random choices from with NumPy: its own source in version 2, else NumPy's."""
    return np.random if IS_VERSION_3 else __getattr__("common_functions").NUMPY_RANDOM


def numpy_to_torch(rows: Any) -> Any:
    """An array of numbers as a tensor that shares its memory; anything else as it is."""
    try:
        return torch.from_numpy(rows)
    except TypeError:
        return rows


def loss_term(
    losses: torch.Tensor, indices: Any = None, reduction_type: str = "already_reduced"
) -> dict[str, Any]:
    """One term of the dictionary that ``compute_loss`` returns.

    Args:
        losses: (T,) losses, or a scalar that is reduced already.
        indices: what the losses belong to: elements (T,), a pair or a triplet of such tensors, or
            None for a scalar.
        reduction_type: what version 2 calls ``indices``: "element", "pos_pair", "neg_pair",
            "triplet" or "already_reduced" (default). Version 3 tells it by the indices.
    """
    term = {"losses": losses, "indices": indices}
    return term if IS_VERSION_3 else {**term, "reduction_type": reduction_type}


def zero_term(embeddings: torch.Tensor) -> dict[str, Any]:
    """A term that is 0 and gives the embeddings a gradient of 0."""
    return loss_term((embeddings * 0).sum())


def self_references(embeddings: torch.Tensor, labels: torch.Tensor) -> tuple[Any, Any]:
    """``ref_emb`` and ``ref_labels`` of ``compute_loss`` for a batch compared with itself."""
    return (None, None) if IS_VERSION_3 else (embeddings, labels)


def has_references(
    embeddings: torch.Tensor,
    labels: torch.Tensor,
    ref_emb: torch.Tensor | None,
    ref_labels: torch.Tensor | None,
) -> bool:
    """Whether ``compute_loss`` got a set of references.

    Of a batch compared with itself, version 2 passes the batch once more and version 3 None.
    """
    return (ref_emb is not None and ref_emb is not embeddings) or (
        ref_labels is not None and ref_labels is not labels
    )


def refuse_references(
    name: str,
    embeddings: torch.Tensor,
    labels: torch.Tensor,
    ref_emb: torch.Tensor | None,
    ref_labels: torch.Tensor | None,
) -> None:
    """Raise ValueError, on behalf of ``name``, if :func:`has_references`."""
    if has_references(embeddings, labels, ref_emb, ref_labels):
        raise ValueError(
            f"{name} takes neither ref_emb nor ref_labels, because it compares the rows of one "
            f"batch with each other: leave them out"
        )


def soft_triple_proxies(loss: Any) -> torch.Tensor:
    """(C * K, D) proxies of PML's SoftTripleLoss; those of class c are rows cK to (c + 1)K - 1.

    Version 2 keeps them as columns of ``fc``, version 3 as rows of ``weight``.
    """
    return loss.weight if IS_VERSION_3 else loss.fc.t()


class _OwnRecords(torch.nn.Module):
    """``collect_stats`` as PML 2 has it, for PML 3: the attributes, without PML 2's recorder.

    Args:
        collect_stats: whether forward passes keep statistics as attributes. Default False.
        kwargs: of the PML class that follows.
    """

    def __init__(self, *, collect_stats: bool | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.collect_stats = bool(collect_stats)

    def add_to_recordable_attributes(
        self, *, list_of_names: list[str], is_stat: bool = False
    ) -> None:
        """Make statistics that are collected attributes, which are 0 before the first pass."""
        if is_stat and self.collect_stats:
            for name in list_of_names:
                setattr(self, name, 0)


class _RecordsOfPML:
    """Nothing to add: the base classes of PML 2 record."""


# The first base of every PML class of this library that has statistics. (Any, because a type
# checker takes no variable as a base.)
RecordsMixin: Any = _OwnRecords if IS_VERSION_3 else _RecordsOfPML
