"""DistributedLoss: any loss, computed on the whole batch of several processes."""

import contextlib

import torch

from .collectives import world_size
from .gathering import gather_batch
from .gradients import copy_from_rank_zero, synchronize_gradients


class DistributedLoss(torch.nn.Module):
    """Wraps a loss so that every process computes it on the batch of all processes.

    Put the network in DistributedDataParallel, but *not* this loss. The loss value, the network's
    gradients and those of the loss's own parameters are then the same as those of a single process
    on the same batch, for any number of processes; ``gradients`` explains how. Embeddings and
    labels are gathered in rank order. Triplets, Gumbel noise and whatever else the loss or the
    miner draws come from rank 0's global random numbers, while the other ranks keep theirs for
    augmentation. Parameters and buffers start as rank 0's, and their gradients stay the same on all
    ranks.

    It takes everything that PML's ``DistributedLossWrapper`` takes, as well as ``MultipleLosses``
    and any other module. Where torch.distributed is not in use, it is the plain loss.

    Args:
        loss: called as ``loss(embeddings, labels, indices_tuple, ...)``.
        miner: a PML miner, which mines the batch of all processes. Default None.

    Shapes: embeddings (N_rank, D), labels (N_rank,), and further tensors (M_rank, ...) such as
    ref_emb by keyword. N_rank and M_rank may differ between ranks; all ranks must call the loss. An
    ``indices_tuple`` refers to the batch of all processes. Returns the loss of that batch.

    Raises:
        ValueError: on all ranks, if the tensors of different ranks do not fit together; if
            indices_tuple is given together with a miner.
    """

    def __init__(self, loss: torch.nn.Module, miner: torch.nn.Module | None = None):
        super().__init__()
        self.loss = loss
        self.miner = miner
        self._synchronized = False

    def forward(
        self,
        embeddings: torch.Tensor,
        labels: torch.Tensor | None = None,
        indices_tuple: tuple[torch.Tensor, ...] | torch.Tensor | None = None,
        **others: torch.Tensor | None,
    ) -> torch.Tensor:
        if self.miner is not None and indices_tuple is not None:
            raise ValueError(
                "DistributedLoss has a miner and got an indices_tuple too: leave one of them out"
            )
        randomness: contextlib.AbstractContextManager = contextlib.nullcontext()
        if world_size() > 1:
            self._synchronize()
            # ManifoldLoss takes meta classes, one for each embedding, in place of indices.
            meta_classes = indices_tuple if isinstance(indices_tuple, torch.Tensor) else None
            tensors = [
                None if tensor is None else tensor.to(embeddings.device)
                for tensor in (labels, meta_classes, *others.values())
            ]
            embeddings, tensors, randomness = gather_batch(embeddings, *tensors)
            labels, meta_classes, *rest = tensors
            indices_tuple = indices_tuple if meta_classes is None else meta_classes
            others = dict(zip(others, rest, strict=True))
        with randomness:
            if self.miner is not None:
                references = {
                    name: others[name] for name in ("ref_emb", "ref_labels") if name in others
                }
                indices_tuple = self.miner(embeddings, labels, **references)
            # SelfSupervisedLoss and others take fewer arguments than most.
            arguments = [labels, indices_tuple]
            while arguments and arguments[-1] is None:
                arguments.pop()
            return self.loss(embeddings, *arguments, **others)

    def __getstate__(self):
        # Hooks on parameters are not copied: a copy must register its own.
        return {**super().__getstate__(), "_synchronized": False}

    def _synchronize(self):
        if not self._synchronized:
            copy_from_rank_zero(self.loss)
            synchronize_gradients(self.loss)
            self._synchronized = True
