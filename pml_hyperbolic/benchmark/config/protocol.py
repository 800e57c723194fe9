"""ProtocolConfig: everything that all methods of a benchmark share."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ...errors import nearest
from ...files import content_hash
from ..results.metric_names import PRIMARY, TITLES
from .image import AugmentationConfig, ImageConfig
from .optimization import OptimizerConfig, ScheduleConfig
from .splits import ListedSplits, Splits
from .strict_model import HASHED_IF_SET, Count, Distinct, Positive, Spec, StrictModel

# Arguments of backbones that say how they are trained.
_OF_TRAINED_TRUNKS = ("batch_norm", "freeze_patch_embedding")


class SamplerConfig(StrictModel):
    """PML's MPerClassSampler: the classes of each batch differ and are drawn anew for the next.

    With ``unique_classes`` no class comes twice in an epoch, which is one pass over the classes in
    random order; those that fill no whole batch are left out of it, as in Hyp's code. With
    ``replacement`` a photo may come twice among those of its class in a batch, as in HIER's code;
    otherwise only where a class has too few.
    """

    batch_size: Count
    samples_per_class: Count
    unique_classes: Annotated[bool, HASHED_IF_SET] = False
    replacement: Annotated[bool, HASHED_IF_SET] = False

    @model_validator(mode="after")
    def _whole_classes(self):
        if self.batch_size % self.samples_per_class:
            raise ValueError(
                f"batch_size must be a multiple of samples_per_class, got {self.batch_size} and "
                f"{self.samples_per_class}: set it to "
                f"{-(-self.batch_size // self.samples_per_class) * self.samples_per_class}, for "
                f"example"
            )
        return self


def _selecting_metric(name: str) -> str:
    if name not in TITLES:
        raise ValueError(f"{name!r} cannot select a checkpoint: {nearest(name, TITLES)}")
    return name


class EvaluationConfig(StrictModel):
    """When and how a run is scored: after epoch ``score_from`` and every ``every`` epochs from it.

    Epochs are counted from 1. By default ``score_from`` is ``every``.
    """

    every: Count = 1
    score_from: Annotated[Count | None, HASHED_IF_SET] = None
    batch_size: Count = 512
    # The validation metric that selects the checkpoint.
    select_by: Annotated[str, AfterValidator(_selecting_metric)] = PRIMARY
    recall_at: Annotated[list[Count], Distinct] = Field(default_factory=list)

    def scored_epochs(self, epochs: int) -> range:
        """The epochs after which a run of ``epochs`` epochs is scored, counted from 1."""
        first = self.every if self.score_from is None else self.score_from
        return range(first, epochs + 1, self.every)


class ProtocolConfig(StrictModel):
    """Everything that must be the same for all methods of a benchmark."""

    data: Spec
    splits: Splits
    backbone: Spec
    # frozen: its features of every image are computed once, without augmentation.
    trunk: Annotated[Literal["trained", "frozen"], HASHED_IF_SET] = "trained"
    embedding_size: Count
    # True: the spaces of a method share embedding_size; False: each space gets all of it.
    equal_total_dimension: bool = True
    sampler: SamplerConfig
    image: ImageConfig | None = None
    augmentation: AugmentationConfig = AugmentationConfig()
    optimizer: OptimizerConfig
    schedule: ScheduleConfig = ScheduleConfig()
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    max_gradient_norm: Positive | None = None
    max_gradient_value: Positive | None = None
    # A factor on the gradient that the losses pass to the network, and not on that of their own
    # parameters. In HIER's code it is 1 / the number of processes.
    network_gradient_scale: Annotated[Positive, HASHED_IF_SET] = 1.0
    epochs: Count
    steps_per_epoch: Count
    evaluation: EvaluationConfig = EvaluationConfig()
    # NumPy takes seeds below 2**32.
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1), Distinct]
    # Some of the splits' folds, for a quick look. By default all of them are run.
    run_folds: (
        Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), Distinct] | None
    ) = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # The order of summation, and so the result, depends on the number of threads.
    threads: Count = 1

    @model_validator(mode="after")
    def _scored_at_least_once(self):
        first = "every" if self.evaluation.score_from is None else "score_from"
        if not self.evaluation.scored_epochs(self.epochs):
            raise ValueError(
                f"evaluation.{first} ({getattr(self.evaluation, first)}) must not exceed epochs "
                f"({self.epochs}), or no checkpoint would ever be selected: lower it, or train for "
                f"more epochs"
            )
        if self.schedule.trunk_frozen_epochs >= self.epochs:
            raise ValueError(
                f"schedule.trunk_frozen_epochs ({self.schedule.trunk_frozen_epochs}) must be less "
                f"than epochs ({self.epochs}), or the trunk would never train: lower it, or set "
                f"trunk: frozen"
            )
        if isinstance(self.splits, ListedSplits):
            self.check_batch(len(self.splits.train))
        return self

    @model_validator(mode="after")
    def _trunk_has_what_it_needs(self):
        if self.trunk == "trained":
            if self.optimizer.trunk_lr is None and "identity" not in self.backbone:
                raise ValueError(
                    "optimizer.trunk_lr is required: set it, or keep the trunk as it is with "
                    "trunk: frozen"
                )
            return self
        ((name, arguments),) = self.backbone.items()
        useless = {
            "optimizer.trunk_lr": self.optimizer.trunk_lr is not None,
            "schedule.trunk_frozen_epochs": self.schedule.trunk_frozen_epochs > 0,
            "augmentation": self.augmentation != AugmentationConfig(),
            **{f"backbone.{name}.{key}": key in arguments for key in _OF_TRAINED_TRUNKS},
        }
        given = [key for key, is_given in useless.items() if is_given]
        if given:
            raise ValueError(
                f"trunk: frozen computes the features of every image once, before any training, "
                f"so {' and '.join(given)} would do nothing: leave "
                f"{'it' if len(given) == 1 else 'them'} out"
            )
        return self

    @model_validator(mode="after")
    def _folds_exist(self):
        missing = [fold for fold in self.run_folds or [] if fold >= self.number_of_folds]
        if missing:
            raise ValueError(
                f"run_folds names {missing}, but splits has {self.number_of_folds} folds, "
                f"numbered from 0: leave these out"
            )
        return self

    def check_batch(self, classes: int) -> None:
        """Refuse batches of more classes than there are to train on.

        Args:
            classes: the number of training classes.

        Raises:
            ValueError: a batch has more classes or, with ``unique_classes``, an epoch; the message
                gives both numbers.
        """
        batch_classes = self.sampler.batch_size // self.sampler.samples_per_class
        if batch_classes > classes:
            raise ValueError(
                f"a batch would hold {batch_classes} classes (sampler.batch_size / "
                f"samples_per_class), but splits.train has {classes}: lower sampler.batch_size"
            )
        whole = classes // batch_classes
        if self.sampler.unique_classes and self.steps_per_epoch > whole:
            raise ValueError(
                f"sampler.unique_classes takes each class at most once an epoch, which gives "
                f"{whole} batches of {batch_classes} of the {classes} classes in splits.train, but "
                f"steps_per_epoch is {self.steps_per_epoch}: set it to {whole} at most"
            )

    @property
    def number_of_folds(self) -> int:
        """The number of folds of the splits, whether they are run or not."""
        return 1 if isinstance(self.splits, ListedSplits) else self.splits.folds

    @property
    def folds(self) -> list[int]:
        """The folds to run."""
        return list(range(self.number_of_folds)) if self.run_folds is None else self.run_folds

    @property
    def hash(self) -> str:
        """Twelve digits that identify this protocol, apart from its seeds and its choice of folds.

        A run's numbers do not depend on which other seeds and folds are run, so more of them can
        be added later under the same hash. Nor do they depend on where files lie: the fingerprint
        in a run's rows tells whether the data are the same.
        """
        content = self.content_to_hash()
        for key in ("seeds", "run_folds"):
            del content[key]
        for arguments in content["data"].values():
            for place in ("root", "unpacked"):
                arguments.pop(place, None)
        for arguments in content["backbone"].values():
            if isinstance(arguments.get("weights"), str):
                arguments["weights"] = Path(arguments["weights"]).name
        # They say where a search looks, and change no number.
        del content["optimizer"]["rate_ranges"]
        return content_hash(content)
