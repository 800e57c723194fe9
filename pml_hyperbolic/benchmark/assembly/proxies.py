"""Proxies: the vectors that a loss learns in the space of the embeddings."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from pytorch_metric_learning.losses import BaseMetricLossFunction

from ...losses import CHESTLoss, MultiLevelLoss
from ...regularizers.hierarchical_proxies_mixin import HierarchicalProxiesMixin
from .registry import accepted_arguments

# Name of the parameter in PML's losses -> whether proxies are its columns.
_PARAMETERS = {"proxies": False, "fc": True, "W": True, "weight": True}


class Proxies(NamedTuple):
    """Proxies of one kind.

    Attributes:
        vectors: (P, D of the space), detached: they change as training goes on.
        space: that they lie in.
        labels: (P,) class of each, None if they belong to no class.
    """

    vectors: torch.Tensor
    space: str
    labels: np.ndarray | None

    def rows(self, rows: np.ndarray) -> "Proxies":
        """Return some of them."""
        chosen = self.vectors[torch.from_numpy(rows).to(self.vectors.device)]
        return self._replace(
            vectors=chosen, labels=None if self.labels is None else self.labels[rows]
        )


def proxies_of(
    loss: torch.nn.Module, sizes: Mapping[str, int], num_classes: int
) -> dict[str, Proxies]:
    """Return the proxies of a loss and of all losses and regularizers within it, by name.

    They are called ``proxies``, those of HIER ``hierarchical``, those of CHEST
    ``chest/euclidean`` and ``chest/hyperbolic``. A second one of a name gets a number. Those of a
    coarser level belong to no class.

    Args:
        loss: of a method.
        sizes: dimension of each space of the method.
        num_classes: number of training classes; several proxies of a class lie side by side.
    """
    in_chest = {
        id(getattr(module, space)): space
        for module in loss.modules()
        if isinstance(module, CHESTLoss)
        for space in ("euclidean", "hyperbolic")
    }
    of_groups = {
        id(part)
        for module in loss.modules()
        if isinstance(module, MultiLevelLoss)
        for coarser in list(module.losses)[1:]
        for part in coarser.modules()
    }
    found: dict[str, Proxies] = {}
    for module in loss.modules():
        space = in_chest.get(id(module), next(iter(sizes)))
        vectors = _vectors(module, sizes[space])
        if vectors is None:
            continue
        labels = None
        if isinstance(module, HierarchicalProxiesMixin):
            name = "hierarchical"
        else:
            name = f"chest/{space}" if id(module) in in_chest else "proxies"
            if "num_classes" in accepted_arguments(type(module)) and id(module) not in of_groups:
                labels = np.repeat(np.arange(num_classes), len(vectors) // num_classes)
        number = 1 + sum(other.split(" ")[0] == name for other in found)
        found[name if number == 1 else f"{name} {number}"] = Proxies(vectors, space, labels)
    return found


def kept_rows(
    found: Mapping[str, Proxies], numbers: int, classes: np.ndarray
) -> dict[str, np.ndarray]:
    """Choose the proxies that fit: all or, of each kind, the same share.

    Args:
        found: of a loss.
        numbers: how many numbers may be kept.
        classes: whose proxies are kept first.

    Returns:
        name -> ascending rows of its vectors.
    """
    total = sum(kind.vectors.numel() for kind in found.values())
    share = min(1.0, numbers / max(total, 1))
    rows = {}
    for name, kind in found.items():
        first = np.arange(len(kind.vectors))
        if kind.labels is not None:
            first = np.argsort(~np.isin(kind.labels, classes), kind="stable")
        rows[name] = np.sort(first[: int(share * len(first))])
    return rows


def _vectors(module: torch.nn.Module, size: int) -> torch.Tensor | None:
    if not isinstance(module, (BaseMetricLossFunction, HierarchicalProxiesMixin)):
        return None
    for name, in_columns in _PARAMETERS.items():
        parameter = module._parameters.get(name)
        if parameter is not None and parameter.ndim == 2:
            vectors = parameter.detach().t() if in_columns else parameter.detach()
            if vectors.shape[1] == size:
                return vectors
    return None
