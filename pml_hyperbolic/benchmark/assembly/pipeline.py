"""Pipeline: the parts of one run, put together from its data, its method and its seed."""

import torch

from ...errors import InputError
from ...testers import EmbeddingSpacesTester
from ...trainers import MetricLossOnly, check_optimizer_coverage
from ..config import MethodConfig
from ..datasets import keep_batch
from .class_sampler import ClassSampler
from .evaluation import make_tester
from .models import build_embedder, check_trunk, choose_device, space_sizes
from .objective import build_objective
from .optimization import make_optimizers, make_schedulers
from .protocol_data import ProtocolData
from .schedule import Schedule
from .seeding import seed_everything

_PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class Pipeline:
    """Data, models, objective, optimizers and tester of one method on one fold with one seed.

    The initial trunk and default head, the order of batches and their augmentation depend on the
    seed only, not on the random numbers that the method's loss draws.

    Args:
        data: of the protocol, shared with other runs.
        method: the settings of the method.
        name: of the method, for messages.
        seed: of all random numbers.
        fold: of the protocol's splits, from 0. Default 0.

    Raises:
        InputError: an unknown name or argument, or parts that do not fit together.
    """

    def __init__(
        self, data: ProtocolData, method: MethodConfig, name: str, seed: int, fold: int = 0
    ):
        protocol = data.protocol
        self.protocol = protocol
        self.method = method
        self.name = name
        self.seed = seed
        self.fold = fold
        self.device = choose_device(protocol.device)
        self.data_fingerprint = data.fingerprint
        self.level_names = data.level_names
        fold_data = data.fold(fold)
        self.classes = fold_data.classes
        self.query, self.gallery = fold_data.query, fold_data.gallery
        # Each part starts from the seed, whatever the parts before it have drawn.
        seed_everything(seed)
        trunk = data.trunk(self.device)
        frozen = data.frozen_trunk
        self.subsets = fold_data.subsets(trunk.mean, trunk.std, self.device)
        if frozen is None:
            check_trunk(trunk, protocol.backbone, self.subsets["validation"].__getitems__([0])[0])
        self.sizes = space_sizes(
            protocol.embedding_size,
            method.head.spaces,
            name,
            equal_total=protocol.equal_total_dimension,
        )
        self.trunk_features = trunk.out_features
        seed_everything(seed)
        embedder = build_embedder(trunk.out_features, self.sizes, method.head.initial_radius)
        self.models = {"trunk": trunk, "embedder": embedder.to(self.device)}
        self._whole_trunk = trunk if frozen is None else frozen.trunk
        seed_everything(seed)
        self.objective = build_objective(
            method, where=name, num_classes=len(self.classes.train), sizes=self.sizes
        )
        self.loss = self.objective.loss.to(self.device)
        self.miner = self.objective.miner
        self.distance = self.objective.distance
        self.optimizers = make_optimizers(
            protocol.optimizer,
            method.rates(protocol.optimizer),
            self.models,
            self.objective.parameter_groups,
        )
        self._check_optimizers()

    @property
    def total_dimension(self) -> int:
        """Dimension of the whole embedding, all spaces together."""
        return sum(self.sizes.values())

    @property
    def parameter_counts(self) -> dict[str, int]:
        """Number of parameters of trunk, head and loss, trainable or not."""
        parts = {"trunk": self._whole_trunk, "head": self.models["embedder"], "loss": self.loss}
        return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}

    @property
    def geometry(self) -> dict[str, float | str | None] | None:
        """Arguments of the PoincareDistance used for ranking, None without a hyperbolic space."""
        if self.distance is None:
            return None
        names = ["c", "clip_radius", "inputs"]
        # A run says only what is not the default, which all runs had when there was no choice.
        names += ["clip"] if self.distance.clip != "hard" else []
        return {name: getattr(self.distance, name) for name in names}

    def trainer(self, **hooks) -> MetricLossOnly:
        """Make a trainer that is ready to start; ``hooks`` are arguments of PML's trainers."""
        protocol, train = self.protocol, self.subsets["train"]
        # Batches and their augmentation have generators of their own: they are the same for all
        # methods, however many numbers losses and miners draw.
        seed_everything(self.seed)
        train.generator.manual_seed(self.seed)
        sampler = ClassSampler(
            train.labels[:, 0],
            protocol.sampler.samples_per_class,
            batch_size=protocol.sampler.batch_size,
            steps=protocol.steps_per_epoch,
            seed=self.seed,
        )
        schedule = Schedule(protocol.schedule, protocol.epochs, protocol.steps_per_epoch)
        return MetricLossOnly(
            self.models,
            self.optimizers,
            protocol.sampler.batch_size,
            {"metric_loss": self.loss},
            train,
            mining_funcs={} if self.miner is None else {"tuple_miner": self.miner},
            iterations_per_epoch=protocol.steps_per_epoch,
            data_device=self.device,
            sampler=sampler,
            collate_fn=keep_batch,
            lr_schedulers=make_schedulers(self.optimizers, schedule),
            dataloader_num_workers=0,
            name=run_title(self.name, self.fold, self.seed),
            precision=_PRECISIONS[protocol.precision],
            max_gradient_norm=protocol.max_gradient_norm,
            max_gradient_value=protocol.max_gradient_value,
            show_progress=False,
            **hooks,
        )

    def tester(self, **hooks) -> EmbeddingSpacesTester:
        """Make a tester that scores each space in its own geometry; ``hooks`` as PML's testers."""
        return make_tester(
            self.sizes, self.distance, self.protocol.evaluation, device=self.device, **hooks
        )

    def try_loss(self) -> None:
        """Compute the loss and its gradient for a batch of random embeddings.

        Raises:
            InputError: this fails, for whatever reason.
        """
        sampler = self.protocol.sampler
        labels = torch.arange(sampler.batch_size, device=self.device) // sampler.samples_per_class
        embeddings = torch.randn(sampler.batch_size, self.total_dimension, device=self.device)
        self.objective.check(self.name, embeddings, labels)

    def _check_optimizers(self):
        modules = {**self.models, "metric_loss": self.loss}
        if self.miner is not None:
            modules["miner"] = self.miner
        try:
            check_optimizer_coverage(modules, self.optimizers)
        except ValueError as error:
            raise InputError(f"{self.name}: {error}") from None


def run_title(method: str, fold: int, seed: int) -> str:
    """Return the name of a run, for messages."""
    return f"{method}, fold {fold}, seed {seed}"
