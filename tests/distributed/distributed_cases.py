"""Computations of the tests of DistributedLoss, run in one process and in several."""

import copy
import datetime
import tempfile
import time

import numpy as np
import torch
import torch.distributed as dist
from pytorch_metric_learning import losses, miners, regularizers
from torch.nn.parallel import DistributedDataParallel

from pml_hyperbolic.distributed.collectives import exchange, from_rank_zero, rank, world_size
from pml_hyperbolic.losses import CHESTLoss, HIERLoss
from pml_hyperbolic.regularizers import HIERRegularizer, HypHCRegularizer
from pml_hyperbolic.utils import DistributedLoss
from tests.processes import draw_from_all, seed_all

CLASSES, SIZE, BATCH, STEPS = 4, 6, 17, 3
HIER = {"num_proxies": 8, "num_neighbors": 4, "triplets_per_anchor": 8}


class Drawing(torch.nn.Module):
    """A loss that draws from every global source of random numbers."""

    def forward(self, embeddings, labels):
        return (embeddings * sum(draw_from_all())).square().sum() + labels.sum()


class OfMetaClasses(torch.nn.Module):
    """ManifoldLoss takes meta classes in place of labels."""

    def __init__(self):
        super().__init__()
        self.loss = losses.ManifoldLoss(l=SIZE, K=CLASSES)

    def forward(self, embeddings, labels):
        return self.loss(embeddings, indices_tuple=labels)


class RankDependent(torch.nn.Module):
    """A loss whose gradients differ between ranks, as if by rounding."""

    def __init__(self):
        super().__init__()
        # Column-major, as a proxy matrix may be.
        self.proxies = torch.nn.Parameter(torch.randn(SIZE, CLASSES).T)

    def forward(self, embeddings, labels):
        return (embeddings @ self.proxies.T).square().mean() * (1 + rank())


# name -> (loss, miner).
CASES = {
    "ProxyAnchor": lambda: (losses.ProxyAnchorLoss(CLASSES, SIZE), None),
    "SoftTriple with SparseCenters": lambda: (
        losses.SoftTripleLoss(
            CLASSES,
            SIZE,
            centers_per_class=2,
            weight_regularizer=regularizers.SparseCentersRegularizer(CLASSES, 2),
        ),
        None,
    ),
    "SoftTriple with HypHC": lambda: (
        losses.SoftTripleLoss(
            CLASSES,
            SIZE,
            centers_per_class=2,
            weight_regularizer=HypHCRegularizer(num_triplets=50),
        ),
        None,
    ),
    "MultiSimilarity and HIER": lambda: (
        losses.MultipleLosses(
            [losses.MultiSimilarityLoss(), HIERLoss(SIZE, **HIER)], weights=[1, 0.5]
        ),
        None,
    ),
    "HIER as a regularizer": lambda: (
        losses.ProxyAnchorLoss(
            CLASSES,
            SIZE,
            embedding_regularizer=HIERRegularizer(SIZE, **HIER),
            embedding_reg_weight=2,
        ),
        None,
    ),
    "CHEST": lambda: (CHESTLoss(CLASSES, 2, SIZE - 2, hierarchy_weight=1), None),
    "MultiSimilarity with its miner": lambda: (
        losses.MultiSimilarityLoss(),
        miners.MultiSimilarityMiner(),
    ),
    "Triplets with a random miner": lambda: (
        losses.TripletMarginLoss(margin=0.5),
        miners.DistanceWeightedMiner(cutoff=0.1, nonzero_loss_cutoff=3),
    ),
    "Triplets drawn by the loss": lambda: (losses.TripletMarginLoss(triplets_per_anchor=3), None),
    "CrossBatchMemory": lambda: (
        # Not a multiple of the batch size, so that the queue wraps around.
        losses.CrossBatchMemory(losses.ContrastiveLoss(), SIZE, memory_size=2 * BATCH + 3),
        None,
    ),
    "Drawing": lambda: (Drawing(), None),
    "ManifoldLoss": lambda: (OfMetaClasses(), None),
}


def network():
    return torch.nn.Sequential(
        torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.LayerNorm(7), torch.nn.Linear(7, SIZE)
    ).double()


def batch(step):
    generator = torch.Generator().manual_seed(step)
    return (
        torch.randn(BATCH, 5, generator=generator, dtype=torch.float64),
        torch.arange(BATCH) % CLASSES,
    )


def own_rows():
    """This rank's share of a batch; shares are uneven if the batch size requires it."""
    bounds = torch.linspace(0, BATCH, world_size() + 1).long()
    return slice(bounds[rank()], bounds[rank() + 1])


def all_cases():
    """Losses, gradients, trained parameters and next random numbers of every case, by name."""
    return {name: compute(build) for name, build in CASES.items()}


def compute(build):
    """Results of STEPS steps of AdamW, on one rank or in a single process."""
    # Ranks start differently, but only rank 0's start may have an effect.
    seed_all(rank())
    model = network()
    loss, miner = build()
    wrapped = DistributedLoss(loss.double(), miner)
    model = DistributedDataParallel(model) if world_size() > 1 else model
    parameters = [*model.parameters(), *loss.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)
    result = {"losses": [], "gradients": []}
    seed_all(10 + rank())
    for step in range(STEPS):
        data, labels = batch(step)
        rows = own_rows()
        optimizer.zero_grad()
        value = wrapped(model(data[rows]), labels[rows])
        value.backward()
        result["losses"].append(value.item())
        if step == 0:
            result["gradients"] = [p.grad.clone() for p in parameters]
        optimizer.step()
    result["parameters"] = [p.detach().clone() for p in parameters]
    result["buffers"] = [b.clone() for b in loss.buffers()]
    result["random numbers"] = draw_from_all()
    return result


def without_sharing():
    """The next random numbers of ranks > 0 if a loss draws nothing from them."""
    seed_all(10 + rank())
    return draw_from_all()


def gradients_of_a_copy():
    """Gradients of a loss and of its deep copy, which would differ between ranks by themselves."""
    wrapped = DistributedLoss(RankDependent())
    result = []
    for loss in (wrapped, copy.deepcopy(wrapped)):
        loss(torch.ones(2, SIZE), torch.zeros(2)).backward()
        result.append(next(loss.parameters()).grad.clone())
    copied = copy.deepcopy(wrapped)
    copied.zero_grad()
    copied(torch.ones(2, SIZE), torch.zeros(2)).backward()
    result.append(next(copied.parameters()).grad.clone())
    return result


def references():
    """Loss and gradient with a miner and with separate references, fewer than the queries."""
    generator = torch.Generator().manual_seed(0)
    query, reference = (
        torch.randn(n, SIZE, generator=generator, dtype=torch.float64) for n in (BATCH, 5)
    )
    half = slice(None) if world_size() == 1 else slice(2 * rank(), 2 * rank() + 2 + rank())
    query, reference = query[own_rows()].requires_grad_(), reference[half].requires_grad_()
    loss = DistributedLoss(losses.ContrastiveLoss(), miners.PairMarginMiner(0.5, 0.5))
    value = loss(
        query,
        (torch.arange(BATCH) % CLASSES)[own_rows()],
        ref_emb=reference,
        ref_labels=torch.arange(5)[half] % CLASSES,
    )
    value.backward()
    return value.item(), query.grad / world_size(), reference.grad / world_size()


def self_supervised():
    """A loss that takes no labels."""
    x = batch(0)[0][own_rows()]
    return DistributedLoss(losses.SelfSupervisedLoss(losses.NTXentLoss()))(x, x + 0.1).item()


def enqueue_mask():
    """The mask of CrossBatchMemory is gathered with its rows."""
    memory = losses.CrossBatchMemory(losses.ContrastiveLoss(), 5, memory_size=2 * BATCH)
    x, labels = batch(0)
    rows = own_rows()
    mask = torch.arange(BATCH) % 3 == 0
    value = DistributedLoss(memory)(x[rows], labels[rows], enqueue_mask=mask[rows])
    return value.item(), memory.queue_idx, memory.embedding_memory


def refusals():
    """Error messages for tensors that do not fit together, each raised on every rank."""
    loss = DistributedLoss(losses.ContrastiveLoss())
    messages = []
    for embeddings, labels in (
        (torch.zeros(2, 3 + rank()), torch.zeros(2)),
        (torch.zeros(2, 3), torch.zeros(2) if rank() == 0 else None),
    ):
        try:
            loss(embeddings, labels)
        except ValueError as error:
            messages.append(str(error))
    return messages


def a_generator_in_place_of_numpy():
    """Losses with other NumPy sources of random numbers, which PML allows to be replaced."""
    from pytorch_metric_learning.utils import common_functions as c_f

    class FromPML(torch.nn.Module):
        def forward(self, embeddings, labels):
            return embeddings.sum() * c_f.NUMPY_RANDOM.random()

    before = c_f.NUMPY_RANDOM
    drawn = []
    try:
        for source in (np.random.default_rng(rank()), np.random.RandomState(rank())):
            c_f.NUMPY_RANDOM = source
            loss = DistributedLoss(FromPML())
            value = loss(torch.ones(1, 1), torch.zeros(1)) / world_size()
            drawn.append((value.item(), source.random()))
    finally:
        c_f.NUMPY_RANDOM = before
    return drawn


def patience():
    """What arrives if rank 0 takes longer than the timeout of all other collectives."""
    folder = from_rank_zero(tempfile.mkdtemp())
    me, count = rank(), world_size()
    dist.destroy_process_group()
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=me,
        world_size=count,
        timeout=datetime.timedelta(seconds=1),
    )
    exchange(None)
    if rank() == 0:
        time.sleep(2.5)
    return from_rank_zero(f"of rank {rank()}")


def everything():
    """All of the above in one launch, because processes take seconds to start."""
    functions = (
        all_cases,
        without_sharing,
        gradients_of_a_copy,
        references,
        self_supervised,
        enqueue_mask,
        refusals,
        a_generator_in_place_of_numpy,
        patience,
    )
    if world_size() == 3:
        return {"all_cases": all_cases()}
    assert not dist.is_initialized() or world_size() == 2
    return {function.__name__: function() for function in functions}
