"""Pipeline: everything one run is made of, from a protocol, a method, a fold and a seed."""

import math
import random

import numpy as np
import torch

from ...backbones import BACKBONES
from ...errors import InputError, nearest
from ...heads import HyperbolicEmbedder, TwoSpaceEmbedder
from ...images import ImageTransform, decode_images
from ...trainers import MetricLossOnly, check_optimizer_coverage
from ..config import MethodConfig, ProtocolConfig
from ..datasets import (
    DATASETS,
    FeatureSubset,
    ImageSubset,
    LabelledData,
    keep_batch,
)
from .class_sampler import ClassSampler
from .class_splits import class_splits
from .evaluation import make_tester
from .loss_builder import build_loss
from .registry import call

_PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# name -> whose classes; training images are scored as all others are: not augmented.
_SUBSETS = {"train": "train", "scored_train": "train", "validation": "validation", "test": "test"}


class Pipeline:
    """Data, models, objective, optimizers and tester of one method on one fold under one seed.

    The trunk, the default head, the order of batches and their augmentation start from the seed
    alone: they do not depend on what the method's loss draws.

    Args:
        protocol: what all methods share.
        method: what is this method's own.
        name: the method's name, for messages.
        seed: of everything random.
        fold: of the protocol's splits, from 0. Default 0.

    Raises:
        InputError: an unknown name or argument, or parts that do not fit together.
    """

    def __init__(
        self, protocol: ProtocolConfig, method: MethodConfig, name: str, seed: int, fold: int = 0
    ):
        self.protocol = protocol
        self.method = method
        self.name = name
        self.seed = seed
        self.fold = fold
        self.device = choose_device(protocol.device)
        data = _from_registry(DATASETS, "data set", protocol.data, "protocol.data")
        images = self._decoded(data)
        self.data_fingerprint = data.fingerprint(data.features if images is None else images.sizes)
        seed_everything(seed)
        trunk = _from_registry(
            BACKBONES,
            "backbone",
            protocol.backbone,
            "protocol.backbone",
            fill={"in_channels": data.features.shape[1] if images is None else images.channels},
        )
        self.classes = class_splits(protocol.splits, data, fold)
        self.level_names = list(data.level_names)
        trunk = to_trunk_device(trunk, self.device)
        self.subsets = self._subsets(data, images, trunk)
        self.query, self.gallery = query_and_gallery(data, self.subsets["test"].indices)
        self._check_trunk(trunk)
        self.sizes = space_sizes(
            protocol.embedding_size,
            method.head.spaces,
            name,
            equal_total=protocol.equal_total_dimension,
        )
        seed_everything(seed)
        embedder = self._embedder(trunk.out_features)
        self.models = {"trunk": trunk, "embedder": embedder.to(self.device)}
        seed_everything(seed)
        built = build_loss(
            method, where=name, num_classes=len(self.classes.train), sizes=self.sizes
        )
        self.loss = built.loss.to(self.device)
        self.miner = built.miner
        self.distance = built.distance
        self.optimizers = self._optimizers(built.parameter_groups)
        modules = {**self.models, "metric_loss": self.loss}
        if self.miner is not None:
            modules["miner"] = self.miner
        try:
            check_optimizer_coverage(modules, self.optimizers)
        except ValueError as error:
            raise InputError(f"{name}: {error}") from None

    @property
    def total_dimension(self) -> int:
        """Dimensions of the whole embedding, all spaces together."""
        return sum(self.sizes.values())

    @property
    def parameter_counts(self) -> dict[str, int]:
        """How many numbers trunk, head and loss learn or hold as parameters."""
        parts = {"trunk": self.models["trunk"], "head": self.models["embedder"], "loss": self.loss}
        return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}

    @property
    def geometry(self) -> dict[str, float | str | None] | None:
        """Arguments of the PoincareDistance that ranks, None without a hyperbolic space."""
        if self.distance is None:
            return None
        return {name: getattr(self.distance, name) for name in ("c", "clip_radius", "inputs")}

    @property
    def total_steps(self) -> int:
        """Optimization steps of the whole run."""
        return self.protocol.epochs * self.protocol.steps_per_epoch

    def trainer(self, **hooks) -> MetricLossOnly:
        """A trainer for this run, ready to start; ``hooks`` as PML's trainers take them."""
        protocol = self.protocol
        # Batches and their augmentation have random numbers of their own: they are the same for
        # all methods, however many numbers losses and miners draw.
        seed_everything(self.seed)
        self.subsets["train"].generator.manual_seed(self.seed)
        batch_size = protocol.sampler.batch_size
        return MetricLossOnly(
            self.models,
            self.optimizers,
            batch_size,
            {"metric_loss": self.loss},
            self.subsets["train"],
            mining_funcs={} if self.miner is None else {"tuple_miner": self.miner},
            iterations_per_epoch=protocol.steps_per_epoch,
            data_device=self.device,
            sampler=ClassSampler(
                self.subsets["train"].labels[:, 0],
                protocol.sampler.samples_per_class,
                batch_size=batch_size,
                steps=protocol.steps_per_epoch,
                seed=self.seed,
            ),
            collate_fn=keep_batch,
            lr_schedulers={
                f"{key.removesuffix('_optimizer')}_scheduler_by_iteration": (
                    torch.optim.lr_scheduler.LambdaLR(
                        optimizer,
                        self.trunk_lr_factor if key == "trunk_optimizer" else self.lr_factor,
                    )
                )
                for key, optimizer in self.optimizers.items()
            },
            dataloader_num_workers=0,
            name=run_title(self.name, self.fold, self.seed),
            precision=_PRECISIONS[protocol.precision],
            max_gradient_norm=protocol.max_gradient_norm,
            max_gradient_value=protocol.max_gradient_value,
            show_progress=False,
            **hooks,
        )

    def try_loss(self) -> None:
        """One loss with its gradient, of random embeddings.

        Raises:
            InputError: it does not work, for whatever reason.
        """
        sampler = self.protocol.sampler
        labels = torch.arange(sampler.batch_size, device=self.device) // sampler.samples_per_class
        embeddings = torch.randn(
            sampler.batch_size, self.total_dimension, device=self.device
        ).requires_grad_()
        try:
            mined = None if self.miner is None else self.miner(embeddings.detach(), labels)
            self.loss(embeddings, labels, mined).backward()
        # PML asserts and looks things up in whatever way.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"{self.name}: its loss fails on a batch of random embeddings: {reason}"
            ) from error

    def tester(self, **hooks):
        """A tester that scores each space in its own geometry; ``hooks`` as PML's testers."""
        return make_tester(
            self.sizes,
            self.distance,
            self.protocol.evaluation,
            device=self.device,
            **hooks,
        )

    def lr_factor(self, step: int) -> float:
        """The schedule: what every learning rate is multiplied with at ``step``, from 0."""
        schedule = self.protocol.schedule
        if step < schedule.warmup_steps:
            return (step + 1) / (schedule.warmup_steps + 1)
        if schedule.shape == "constant":
            return 1.0
        if schedule.shape == "step":
            epoch = step // self.protocol.steps_per_epoch
            return schedule.factor ** (epoch // schedule.every_epochs)
        remaining = max(self.total_steps - schedule.warmup_steps, 1)
        done = min((step - schedule.warmup_steps) / remaining, 1.0)
        return 0.5 * (1 + math.cos(math.pi * done))

    def trunk_lr_factor(self, step: int) -> float:
        """:meth:`lr_factor` of the trunk, which is 0 while it is frozen."""
        frozen_epochs = self.protocol.schedule.trunk_frozen_epochs
        if step < frozen_epochs * self.protocol.steps_per_epoch:
            return 0.0
        return self.lr_factor(step)

    def _decoded(self, data):
        """The decoded images; None for precomputed features, which nothing can be done to."""
        image = self.protocol.image
        if hasattr(data, "features"):
            chosen = [
                f"protocol.{key}"
                for key in ("image", "augmentation")
                if getattr(self.protocol, key) != type(self.protocol).model_fields[key].default
            ]
            if chosen:
                raise InputError(
                    f"{' and '.join(chosen)} would do nothing to precomputed features: leave "
                    f"{'it' if len(chosen) == 1 else 'them'} out"
                )
            return None
        if image is None:
            images = decode_images(data, self.protocol.data)
            images.check_one_size()
            return images
        return decode_images(
            data,
            self.protocol.data,
            short_side=image.short_side,
            interpolation=image.interpolation,
        )

    def _subsets(self, data, images, trunk):
        protocol = self.protocol
        try:
            protocol.check_batch(len(self.classes.train))
        except ValueError as error:
            raise InputError(f"protocol, fold {self.fold}: {error}") from None
        subsets = {}
        for name, split in _SUBSETS.items():
            classes = getattr(self.classes, split)
            try:
                if images is None:
                    subsets[name] = FeatureSubset(data, classes, self.device)
                    continue
                transform = ImageTransform(
                    trunk.mean,
                    trunk.std,
                    image=protocol.image,
                    augmentation=protocol.augmentation if name == "train" else None,
                    device=self.device,
                )
                subsets[name] = ImageSubset(data, classes, images, transform)
            except ValueError as error:
                raise InputError(f"protocol.splits.{split}: {error}") from None
        return subsets

    def _check_trunk(self, trunk):
        """Refuse a backbone that does not take this data, before anything is trained."""
        (name,) = self.protocol.backbone
        inputs, _ = self.subsets["validation"].__getitems__([0])
        shape = " x ".join(map(str, inputs.shape[1:]))
        try:
            # In evaluation mode nothing is drawn and batch norm's statistics stay.
            with torch.no_grad():
                features = trunk.eval()(inputs)
        # timm asserts, torch raises RuntimeError.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"protocol.backbone: {name} does not take input of size {shape} ({reason}): set "
                f"protocol.image.size, or choose another backbone"
            ) from error
        if features.shape != (1, trunk.out_features):
            raise InputError(
                f"protocol.backbone: {name} makes {tuple(features.shape[1:])} of input of size "
                f"{shape}, expected {trunk.out_features} features: choose another backbone"
            )

    def _embedder(self, in_features):
        sizes, radius = self.sizes, self.method.head.initial_radius
        if len(sizes) == 1:
            return HyperbolicEmbedder(in_features, *sizes.values(), initial_radius=radius)
        return TwoSpaceEmbedder(
            in_features, sizes["euclidean"], sizes["hyperbolic"], initial_radius=radius
        )

    def _optimizers(self, loss_groups):
        config = self.protocol.optimizer
        groups = {
            "trunk": [self._model_group("trunk", config.trunk_lr)],
            "embedder": [self._model_group("embedder", config.head_lr)],
            "metric_loss": loss_groups,
        }
        optimizer_class = getattr(torch.optim, config.name)
        return {
            f"{key}_optimizer": call(
                optimizer_class,
                config.arguments,
                where=f"protocol.optimizer.arguments: {config.name}",
                objects={"params": parameters},
            )
            for key, parameters in groups.items()
            if any(group["params"] for group in parameters)
        }

    def _model_group(self, key, rate):
        return {
            "params": [p for p in self.models[key].parameters() if p.requires_grad],
            "lr": rate,
            "weight_decay": self.protocol.optimizer.weight_decay,
        }


def choose_device(name: str) -> torch.device:
    """The device of a protocol; "auto" is CUDA where there is one.

    Raises:
        InputError: "cuda" on a machine without.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("protocol.device is cuda, but torch finds no CUDA device: use auto or cpu")
    return torch.device(name)


def run_title(method: str, fold: int, seed: int) -> str:
    """What messages call a run."""
    return f"{method}, fold {fold}, seed {seed}"


def to_trunk_device(trunk: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """The backbone on its device; a convolutional one channels_last, which is faster on any.

    Weights in that format are enough: torch keeps to it from the first convolution on. A single
    convolution is the patch embedding of a transformer.
    """
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in trunk.modules())
    if convolutions > 1:
        return trunk.to(device, memory_format=torch.channels_last)
    return trunk.to(device)


def query_and_gallery(
    data: LabelledData, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Which of these images ask and which answer: positions among ``indices``.

    Returns:
        All, and None (each is searched among the others), where the data set has no protocol of
        its own.

    Raises:
        InputError: it has one, but no query or no gallery image is among these.
    """
    if data.query is None:
        return np.arange(len(indices)), None
    query, gallery = (np.flatnonzero(mask[indices]) for mask in (data.query, data.gallery))
    if len(query) == 0 or len(gallery) == 0:
        raise InputError(
            f"protocol.splits.test: {type(data).__name__} searches its query images in its "
            f"gallery, and these classes have {len(query)} and {len(gallery)} of them: use "
            f"test: official"
        )
    return query, gallery


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy (PML's samplers draw from its global state) and torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def space_sizes(
    embedding_size: int, spaces: list[str], name: str, *, equal_total: bool = True
) -> dict[str, int]:
    """Dimensions of each space, in their order.

    Args:
        embedding_size: the protocol's.
        spaces: of a method.
        name: the method's, for messages.
        equal_total: share ``embedding_size`` equally (default), or give all of it to each space.

    Raises:
        InputError: the embedding cannot be shared equally.
    """
    if not equal_total:
        return dict.fromkeys(spaces, embedding_size)
    if embedding_size % len(spaces):
        raise InputError(
            f"{name}: protocol.embedding_size {embedding_size} cannot be shared equally by "
            f"{len(spaces)} spaces: choose a multiple of {len(spaces)}, or give each space all of "
            f"it with protocol.equal_total_dimension=false"
        )
    return dict.fromkeys(spaces, embedding_size // len(spaces))


def _from_registry(registry, kind, spec, where, fill=None):
    name, arguments = next(iter(spec.items()))
    if name not in registry:
        raise InputError(f"{where}: no {kind} {name!r}: {nearest(name, registry)}")
    return call(registry[name], arguments, where=f"{where}: {name}", fill=fill)
