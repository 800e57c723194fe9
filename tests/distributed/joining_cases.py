"""Computations of the tests of the trainer, run in one process and in several."""

import random

import torch
import torch.distributed as dist
from pytorch_metric_learning import losses, miners, samplers
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper
from torch.nn.parallel import DistributedDataParallel

from pml_hyperbolic.distributed.collectives import rank, world_size
from pml_hyperbolic.losses import CHESTLoss, HIERLoss
from pml_hyperbolic.trainers import MetricLossOnly, NonFiniteError
from pml_hyperbolic.utils import DistributedLoss
from tests.processes import seed_all

CLASSES, SIZE, BATCH, STEPS = 4, 6, 15, 3


class Data(torch.utils.data.Dataset):
    """Points whose noise is drawn as for the whole batch."""

    def __init__(self, spoilt=()):
        generator = torch.Generator().manual_seed(0)
        self.points = torch.randn(60, 8, generator=generator, dtype=torch.float64)
        self.points[list(spoilt)] = float("nan")
        self.labels = torch.arange(60) % CLASSES
        self.generator = torch.Generator().manual_seed(1)

    def __len__(self):
        return len(self.points)

    def __getitems__(self, items):
        return self.share(items, slice(None))

    def share(self, items, part):
        noise = torch.randn(len(items), 8, generator=self.generator, dtype=torch.float64)
        items = torch.as_tensor(items)[part]
        return self.points[items] + 0.1 * noise[part], self.labels[items]


def keep(batch):
    return batch


class PartlyUsed(torch.nn.Linear):
    """A network with an unused parameter, such as the classifier of a backbone."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.idle = torch.nn.Parameter(torch.zeros(3))


def trainer(loss, *, trunk=None, embedder=None, data=None, miner=None, **options):
    """A trainer whose parts start differently on every rank; only rank 0's start may count."""
    models = {
        "trunk": trunk or torch.nn.Sequential(torch.nn.Linear(8, 9), torch.nn.GroupNorm(3, 9)),
        "embedder": embedder or torch.nn.Sequential(torch.nn.Tanh(), PartlyUsed(9, SIZE)),
    }
    modules = {**models, "metric_loss": loss}
    data = data or Data()
    settings = {
        "models": models,
        "optimizers": {
            f"{name}_optimizer": torch.optim.AdamW(module.double().parameters(), lr=0.02)
            for name, module in modules.items()
            if list(module.parameters())
        },
        "batch_size": BATCH,
        "loss_funcs": {"metric_loss": loss},
        "dataset": data,
        "mining_funcs": {"tuple_miner": miner} if miner else {},
        "sampler": samplers.MPerClassSampler(data.labels, 5, BATCH, STEPS * BATCH),
        "collate_fn": keep,
        "iterations_per_epoch": STEPS,
        "data_device": torch.device("cpu"),
        "dataloader_num_workers": 0,
        "show_progress": False,
        **options,
    }
    return MetricLossOnly(**settings)


def chest():
    return CHESTLoss(CLASSES, 2, SIZE - 2, hierarchy_weight=1)


def both():
    return losses.MultipleLosses(
        [
            losses.ProxyAnchorLoss(CLASSES, SIZE),
            HIERLoss(SIZE, 8, num_neighbors=4, triplets_per_anchor=8),
        ]
    )


# name -> keyword arguments of trainer().
CASES = {
    "CHEST": lambda: {"loss": chest()},
    "clipped": lambda: {"loss": both(), "max_gradient_norm": 0.01},
    "half gradient": lambda: {"loss": both(), "network_gradient_scale": 0.5},
    "miner": lambda: {
        "loss": losses.TripletMarginLoss(),
        "miner": miners.DistanceWeightedMiner(cutoff=0.1, nonzero_loss_cutoff=3),
    },
    "shuffled": lambda: {"loss": losses.MultiSimilarityLoss(), "sampler": None},
    "batch sampler": lambda: {
        "loss": losses.MultiSimilarityLoss(),
        "sampler": torch.utils.data.BatchSampler(torch.randperm(60).tolist(), 7, False),
        "batch_size": None,
    },
    "frozen trunk": lambda: {"loss": both(), "freeze_these": ("trunk",)},
    "proxies alone": lambda: {"loss": both(), "freeze_these": ("trunk", "embedder")},
    "frozen batch norm": lambda: {
        "loss": both(),
        "trunk": torch.nn.Sequential(torch.nn.Linear(8, 9), torch.nn.BatchNorm1d(9)),
        "freeze_trunk_batchnorm": True,
    },
    "memory": lambda: {"loss": losses.CrossBatchMemory(losses.ContrastiveLoss(), SIZE, 37)},
}


def trained(name):
    """Losses and parameters of two epochs of training, in two calls."""
    seed_all(rank())
    parts = CASES[name]()
    values, norms = [], []

    def note(trainer):
        values.append(float(trainer.losses["total_loss"].detach()))
        norms.append([p.grad.norm().item() for p in parameters() if p.grad is not None])

    made = trainer(**parts, end_of_iteration_hook=note)

    def parameters():
        return [
            p
            for part in (*made.models.values(), *made.loss_funcs.values())
            for p in part.parameters()
        ]

    # Rank 0 draws what a single process draws; what other ranks draw must not matter.
    seed_all(100 + rank())
    made.train(num_epochs=1)
    made.train(start_epoch=2, num_epochs=2)
    return {
        "losses": values,
        "norms": norms,
        "parameters": [p.detach().clone() for p in parameters()],
        "keys": list(made.models["embedder"].state_dict()),
    }


def messages(calls):
    """Error messages of calls that must fail on every rank."""
    found = []
    for call in calls:
        try:
            call()
        except (ValueError, NonFiniteError) as error:
            found.append(str(error))
    return found


def refusals():
    """Error messages for what several processes cannot train."""
    batch_norm = torch.nn.Sequential(torch.nn.Linear(8, 9), torch.nn.BatchNorm1d(9, affine=False))
    parallel = DistributedDataParallel(torch.nn.Linear(8, 9))
    loss = losses.ContrastiveLoss

    def subset(embeddings, labels):
        raise AssertionError

    return messages(
        [
            lambda: trainer(loss(), trunk=batch_norm).train(),
            lambda: trainer(loss(), trunk=parallel).train(),
            lambda: trainer(DistributedLoss(loss())).train(),
            lambda: trainer(DistributedLossWrapper(loss())).train(),
            lambda: trainer(loss(), mining_funcs={"subset_batch_miner": subset}).train(),
            lambda: trainer(loss(), sampler=None, batch_size=1).train(),
        ]
    )


class SpoilsAt(torch.nn.Module):
    """A loss that is infinite from its third call on."""

    def __init__(self):
        super().__init__()
        self.loss, self.calls = losses.ContrastiveLoss(), 0

    def forward(self, *arguments):
        self.calls += 1
        return self.loss(*arguments) * (float("inf") if self.calls > 2 else 1)


def divergence():
    """Error messages if only rank 1's embeddings are not finite, and if the loss is not."""
    spoilt = Data(spoilt=[14])
    order = list(range(60))
    return messages(
        [
            lambda: trainer(losses.ContrastiveLoss(), data=spoilt, sampler=order).train(),
            lambda: trainer(SpoilsAt()).train(),
        ]
    )


def plain_dataset():
    """Rows that each rank loads from a dataset without ``__getitems__``."""
    seen = []

    class Watched(torch.utils.data.Dataset):
        def __len__(self):
            return 60

        def __getitem__(self, item):
            seen.append(item)
            return torch.zeros(8, dtype=torch.float64), item % CLASSES

    made = trainer(
        losses.ContrastiveLoss(),
        data=Data(),
        dataset=Watched(),
        sampler=random.sample(range(60), 30) if rank() == 0 else list(range(30)),
        collate_fn=None,
        iterations_per_epoch=2,
    )
    made.train()
    return seen


def everything():
    """All of the above in one launch, because processes take seconds to start."""
    result = {name: trained(name) for name in CASES}
    if world_size() == 2:
        assert dist.get_backend() == "gloo"
        seed_all(0)
        result |= {
            "refusals": refusals(),
            "divergence": divergence(),
            "plain dataset": plain_dataset(),
        }
    return result
