"""MultiLevelLoss: any PML loss on each level of a hierarchy of classes."""

from collections.abc import Sequence

import torch

from ..functional.validation import (
    check_instance,
    check_labels,
    check_positive,
    required_labels,
)


class MultiLevelLoss(torch.nn.Module):
    """A weighted sum of one loss for each level: classes, then their coarser and coarser groups.

    ``L = sum_l weights[l] * losses[l](embeddings, ancestors[labels, l])``

    Labels stay those of classes, (N,), since a class determines its groups: so the loss is called
    like PML's ``MultipleLosses``, by the same trainers, with the same samplers, and in
    ``DistributedLoss``. Each level has a loss of its own, and with it its own proxies, miner and
    statistics. Nothing here knows a geometry: with losses on cosine similarity it is Euclidean,
    with losses that share one PoincareDistance hyperbolic::

        ancestors = class_ancestors(torch.tensor([[0, 0], [1, 0], [2, 1]]))  # class, superclass
        distance = PoincareSimilarity()
        loss = MultiLevelLoss([MultiSimilarityLoss(distance=distance) for _ in range(2)], ancestors)

    It is this project's choice as a plain baseline for labels of several levels; losses made for
    them weight or order the levels in other ways.

    Args:
        losses: L losses from PML or of its kind, the finest level first. A proxy loss of level l
            has as many classes as column l of ``ancestors`` has groups.
        ancestors: (C, L) integers, the group of each class on each level, as
            :func:`~pml_hyperbolic.functional.class_ancestors` returns it. The first column is 0 to
            C - 1; the groups of each other column are numbered from 0 without gaps. Levels need
            not be nested.
        weights: L numbers > 0. Default: 1 for each (our choice).
        miners: L miners from PML, each of which mines with the labels of its level, or None for a
            level without one. Default: no miners.

    Shapes: embeddings (N, D), labels (N,) from 0 to C - 1, ``indices_tuple`` as PML's. It was mined
    with the labels of classes, so the loss of the finest level receives it; those of coarser
    levels, on which a negative pair of classes may be a positive one, receive none. Returns the
    loss of the batch.

    Raises:
        ValueError: the numbers of losses, columns, weights or miners differ, ``ancestors`` or a
            weight is out of range; at call time labels out of range (checked on the CPU only), or
            an ``indices_tuple`` beside ``miners``.
    """

    ancestors: torch.Tensor

    def __init__(
        self,
        losses: Sequence[torch.nn.Module],
        ancestors: torch.Tensor,
        *,
        weights: Sequence[float] | None = None,
        miners: Sequence[torch.nn.Module | None] | None = None,
    ):
        super().__init__()
        _check_ancestors(ancestors)
        levels = ancestors.shape[1]
        weights = [1.0] * levels if weights is None else list(weights)
        miners = [None] * levels if miners is None else list(miners)
        for name, values in (("losses", losses), ("weights", weights), ("miners", miners)):
            if len(values) != levels:
                raise ValueError(
                    f"MultiLevelLoss needs as many {name} as ancestors has columns, {levels}, the "
                    f"finest level first, got {len(values)}"
                )
        check_positive("MultiLevelLoss", **{f"weights[{i}]": w for i, w in enumerate(weights)})
        self.losses = torch.nn.ModuleList(losses)
        self.miners = torch.nn.ModuleDict(
            {str(level): miner for level, miner in enumerate(miners) if miner is not None}
        )
        self.weights = weights
        # The hierarchy is a setting, not a weight.
        self.register_buffer("ancestors", ancestors.detach().clone().long(), persistent=False)

    def forward(
        self,
        embeddings: torch.Tensor,
        labels: torch.Tensor | None = None,
        indices_tuple: tuple[torch.Tensor, ...] | None = None,
    ) -> torch.Tensor:
        labels = required_labels("MultiLevelLoss", labels)
        check_labels("MultiLevelLoss", labels, len(self.ancestors))
        if len(self.miners) and indices_tuple is not None:
            raise ValueError(
                "MultiLevelLoss has miners and got an indices_tuple too: leave one of them out"
            )
        levels = self.ancestors.to(embeddings.device)[labels.to(embeddings.device).long()]
        total = embeddings.new_zeros(())
        for level, (loss, weight) in enumerate(zip(self.losses, self.weights, strict=True)):
            groups, key = levels[:, level], str(level)
            mined = indices_tuple if level == 0 else None
            if key in self.miners:
                mined = self.miners[key](embeddings, groups)
            total = total + weight * loss(embeddings, groups, mined)
        return total


def _check_ancestors(ancestors):
    check_instance("MultiLevelLoss", "ancestors", ancestors, torch.Tensor)
    if ancestors.ndim != 2 or not ancestors.numel() or ancestors.is_floating_point():
        raise ValueError(
            f"MultiLevelLoss needs integer ancestors (C, L), got {ancestors.dtype} of shape "
            f"{tuple(ancestors.shape)}"
        )
    if ancestors[:, 0].tolist() != list(range(len(ancestors))):
        raise ValueError(
            f"MultiLevelLoss needs 0 to {len(ancestors) - 1} as the first column of ancestors, the "
            f"classes themselves: class_ancestors(labels) makes such a table"
        )
    for level, column in enumerate(ancestors.unbind(1)):
        groups = torch.unique(column)
        if int(groups[0]) != 0 or int(groups[-1]) != len(groups) - 1:
            raise ValueError(
                f"MultiLevelLoss needs groups numbered from 0 without gaps, but column {level} of "
                f"ancestors has {len(groups)} from {int(groups[0])} to {int(groups[-1])}: "
                f"class_ancestors(labels) renumbers them"
            )
