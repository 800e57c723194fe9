"""DistributedLoss: any loss on the whole batch of several processes."""

import contextlib

import torch

from .collectives import copy_from_rank_zero, gather_batch, synchronize_gradients, world_size


class DistributedLoss(torch.nn.Module):
    """Wraps a loss so that every process computes it on the batch of all processes.

    With the network in DistributedDataParallel, and this loss *not* in it, the loss value, the
    network's gradients and those of the loss's own parameters are the ones of a single process
    on the same batch, in whatever number of processes. Embeddings and labels are gathered in rank
    order; triplets, Gumbel noise and whatever else the loss or the miner draws come from rank 0's
    global random numbers, while the other ranks keep theirs for augmentation. Parameters and
    buffers start as rank 0's and their gradients stay the same on all ranks.

    Takes what PML's ``DistributedLossWrapper`` takes, ``MultipleLosses`` and any other module
    besides. Where torch.distributed is not in use, it is the plain loss.

    Args:
        loss: called as ``loss(embeddings, labels, indices_tuple, ...)``.
        miner: a PML miner, which mines the batch of all processes. Default None.

    Shapes: embeddings (N_rank, D), labels (N_rank,), further tensors (M_rank, ...) by keyword,
    such as ref_emb: N_rank and M_rank may differ between ranks, which all must call this. An
    ``indices_tuple`` refers to the batch of all processes. Returns the loss of that batch.

    Raises:
        ValueError: on all ranks, where ranks hand in tensors that do not fit together; where
            indices_tuple is given beside a miner.
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
        indices_tuple: tuple[torch.Tensor, ...] | None = None,
        **others: torch.Tensor | None,
    ) -> torch.Tensor:
        if self.miner is not None and indices_tuple is not None:
            raise ValueError(
                "DistributedLoss was given a miner and an indices_tuple: leave one of them out"
            )
        randomness = contextlib.nullcontext()
        if world_size() > 1:
            self._synchronize()
            # ManifoldLoss takes meta classes, one for each embedding, in place of indices.
            of_rows = indices_tuple if torch.is_tensor(indices_tuple) else None
            tensors = [embeddings, labels, of_rows, *others.values()]
            tensors = [None if t is None else t.to(embeddings.device) for t in tensors]
            (embeddings, labels, of_rows, *gathered), randomness = gather_batch(*tensors)
            indices_tuple = indices_tuple if of_rows is None else of_rows
            others = dict(zip(others, gathered, strict=True))
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
        # Hooks on parameters are not copied: a copy must set its own.
        return {**super().__getstate__(), "_synchronized": False}

    def _synchronize(self):
        if not self._synchronized:
            copy_from_rank_zero(self.loss)
            synchronize_gradients(self.loss)
            self._synchronized = True
