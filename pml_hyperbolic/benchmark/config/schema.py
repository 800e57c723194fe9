"""Benchmark configs: one protocol, N methods, validated before anything runs."""

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from ...errors import InputError, nearest
from ...files import content_hash
from ..results.metric_names import metric_key
from .extending import read_extended
from .yaml_files import parse_yaml, read_mapping

SPACES = ("euclidean", "hyperbolic")
METHOD_FOLDER = "methods"
_NO_METHODS = (
    f"there are none: copy {METHOD_FOLDER}/ of a shipped config beside this one, or extend that"
)
# Of benchmarks and methods: names of folders.
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


class StrictModel(BaseModel):
    """A config section: an unknown key is an error that names the nearest right one."""

    # Strict: `epochs: true` is not 1.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, content: Any) -> Any:
        if isinstance(content, dict):
            for key in content:
                if key not in cls.model_fields:
                    raise ValueError(cls.unknown_key_message(str(key)))
        return content

    @classmethod
    def unknown_key_message(cls, key: str) -> str:
        """What to say about a key that this section does not have."""
        return f"unknown key {key!r}: {nearest(key, cls.model_fields)}"


def _one_name(content: Any) -> Any:
    """``Name`` is short for ``{Name: {}}``; ``{Name: null}`` likewise."""
    if isinstance(content, str):
        return {content: {}}
    if isinstance(content, dict) and len(content) == 1:
        name, arguments = next(iter(content.items()))
        if isinstance(name, str) and (arguments is None or isinstance(arguments, dict)):
            return {name: arguments or {}}
    raise ValueError(f"expected Name or {{Name: {{argument: value}}}}, got {content!r}")


def _ascending(values: list) -> list:
    if values[0] > values[1]:
        raise ValueError(f"expected [smallest, largest], got {values}")
    return values


def _distinct(values: list) -> list:
    if len(set(values)) != len(values):
        raise ValueError(f"values must differ from each other, got {values}")
    return values


# A registered name with its arguments.
Spec = Annotated[dict[str, dict[str, Any]], BeforeValidator(_one_name)]
Distinct = AfterValidator(_distinct)
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Range = Annotated[list[Positive], Field(min_length=2, max_length=2), AfterValidator(_ascending)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Number = int | Finite
Classes = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), Distinct]


class ListedSplits(StrictModel):
    """Which classes train, which select, which test: disjoint, and one fold."""

    train: Annotated[Classes, Field(min_length=2)]
    validation: Annotated[Classes, Field(min_length=2)]
    test: Annotated[Classes, Field(min_length=2)]

    @model_validator(mode="after")
    def _disjoint(self):
        names = ("train", "validation", "test")
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                common = sorted(set(getattr(self, first)) & set(getattr(self, second)))
                if common:
                    raise ValueError(
                        f"classes {common} are in both {first} and {second}: splits must be "
                        f"class-disjoint"
                    )
        return self


class FoldedSplits(StrictModel):
    """Some classes test; over the rest, class-disjoint folds take turns in selecting.

    ``official`` test classes are those that the data set publishes.
    """

    test: Literal["official", "second_half"] = "second_half"
    folds: Annotated[int, Field(ge=2)] = 4


_SPLITS_TAGS = ("listed", "folded")


def _kind_of_splits(content):
    if isinstance(content, dict):
        folded = "folds" in content or isinstance(content.get("test"), str)
        return _SPLITS_TAGS[folded]
    return _SPLITS_TAGS[isinstance(content, FoldedSplits)]


Splits = Annotated[
    Annotated[ListedSplits, Tag(_SPLITS_TAGS[0])] | Annotated[FoldedSplits, Tag(_SPLITS_TAGS[1])],
    Discriminator(_kind_of_splits),
]


class SamplerConfig(StrictModel):
    """PML's MPerClassSampler."""

    batch_size: Count
    samples_per_class: Count

    @model_validator(mode="after")
    def _whole_classes(self):
        if self.batch_size % self.samples_per_class:
            raise ValueError(
                f"batch_size must be a multiple of samples_per_class, got {self.batch_size} and "
                f"{self.samples_per_class}"
            )
        return self


class ImageConfig(StrictModel):
    """Size of the backbone's input: short side to ``resize`` (default ``size``), centre crop.

    Images are kept decoded with a short side of ``resize``, or less where they are smaller:
    random crops are taken from these.
    """

    size: Count
    resize: Count | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    @model_validator(mode="after")
    def _crop_fits(self):
        if self.resize is not None and self.resize < self.size:
            raise ValueError(
                f"resize ({self.resize}) must not be below size ({self.size}): the centre crop "
                f"would be larger than the image"
            )
        return self

    @property
    def short_side(self) -> int:
        """Short side of the image that the centre crop is taken from."""
        return self.size if self.resize is None else self.resize


class RandomResizedCropConfig(StrictModel):
    """torchvision's RandomResizedCrop: ranges of the crop's share of the area, width / height."""

    scale: Range = [0.2, 1.0]
    ratio: Range = [0.75, 4 / 3]

    @model_validator(mode="after")
    def _no_more_than_the_image(self):
        if self.scale[1] > 1:
            raise ValueError(f"scale is a share of the image's area, at most 1, got {self.scale}")
        return self


class AugmentationConfig(StrictModel):
    """What is done to training images: nothing, unless said."""

    random_resized_crop: RandomResizedCropConfig | None = None
    random_shift: Annotated[int, Field(ge=0)] = 0
    horizontal_flip: bool = False


class OptimizerConfig(StrictModel):
    """An optimizer of torch.optim for trunk, head and the loss's own parameters.

    The loss's own learning rate is a method's; everything else is the protocol's.
    """

    name: Literal["AdamW", "Adam", "SGD"] = "AdamW"
    trunk_lr: Positive
    head_lr: Positive
    weight_decay: NotNegative = 0.0
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _arguments_have_no_other_home(self):
        homes = {
            "lr": "trunk_lr and head_lr (a method's loss_lr for its loss)",
            "weight_decay": "weight_decay",
            "params": "nowhere: the runner knows them",
        }
        for key, home in homes.items():
            if key in self.arguments:
                raise ValueError(f"{key!r} would be ignored among arguments: it belongs to {home}")
        return self


class ScheduleConfig(StrictModel):
    """Factor on every learning rate, by step.

    ``step`` multiplies with ``factor`` once every ``every_epochs``. While ``trunk_frozen_epochs``
    last, the trunk's learning rate is 0 ("warm-up" in HIER's and ProxyAnchor's code).
    """

    shape: Literal["constant", "cosine", "step"] = "constant"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    every_epochs: Count | None = None
    factor: Positive | None = None
    trunk_frozen_epochs: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _step_needs_its_settings(self):
        for key in ("every_epochs", "factor"):
            given = getattr(self, key) is not None
            if given != (self.shape == "step"):
                problem = "belongs to shape: step" if given else "is required by shape: step"
                raise ValueError(
                    f"{key} {problem}, for example {{shape: step, every_epochs: 5, factor: 0.5}}"
                )
        return self


class EvaluationConfig(StrictModel):
    """When and how a run is scored."""

    every: Count = 1
    batch_size: Count = 512
    select_by: Literal["mean_average_precision_at_r", "r_precision", "precision_at_1"] = (
        "mean_average_precision_at_r"
    )
    recall_at: Annotated[list[Count], Distinct] = []


class ProtocolConfig(StrictModel):
    """Everything that must be the same for all methods of a benchmark."""

    data: Spec
    splits: Splits
    backbone: Spec
    embedding_size: Count
    # False: each space of a method gets embedding_size dimensions, not an equal share of them.
    equal_total_dimension: bool = True
    sampler: SamplerConfig
    image: ImageConfig | None = None
    augmentation: AugmentationConfig = AugmentationConfig()
    optimizer: OptimizerConfig
    schedule: ScheduleConfig = ScheduleConfig()
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    max_gradient_norm: Positive | None = None
    max_gradient_value: Positive | None = None
    epochs: Count
    steps_per_epoch: Count
    evaluation: EvaluationConfig = EvaluationConfig()
    # Up to what NumPy takes.
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1), Distinct]
    # A part of the splits' folds, for a quick look; all where it is left out.
    run_folds: (
        Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), Distinct] | None
    ) = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # Sums depend on the number of threads: it is part of the protocol, not of the machine.
    threads: Count = 1

    @model_validator(mode="after")
    def _scored_at_least_once(self):
        if self.evaluation.every > self.epochs:
            raise ValueError(
                f"evaluation.every ({self.evaluation.every}) must not exceed epochs "
                f"({self.epochs}): no checkpoint would ever be selected"
            )
        if self.schedule.trunk_frozen_epochs >= self.epochs:
            raise ValueError(
                f"schedule.trunk_frozen_epochs ({self.schedule.trunk_frozen_epochs}) must be less "
                f"than epochs ({self.epochs}): the trunk would never train"
            )
        if isinstance(self.splits, ListedSplits):
            self.check_batch(len(self.splits.train))
        return self

    @model_validator(mode="after")
    def _folds_exist(self):
        missing = [fold for fold in self.run_folds or [] if fold >= self.number_of_folds]
        if missing:
            raise ValueError(
                f"run_folds names {missing}, but splits has {self.number_of_folds} folds, "
                f"numbered from 0"
            )
        return self

    def check_batch(self, classes: int) -> None:
        """Refuse a batch of more classes than train.

        Raises:
            ValueError: saying how many there are.
        """
        batch_classes = self.sampler.batch_size // self.sampler.samples_per_class
        if batch_classes > classes:
            raise ValueError(
                f"a batch would hold {batch_classes} classes (sampler.batch_size / "
                f"samples_per_class), but splits.train has {classes}"
            )

    @property
    def number_of_folds(self) -> int:
        """Folds of the splits, whether they are run or not."""
        return 1 if isinstance(self.splits, ListedSplits) else self.splits.folds

    @property
    def folds(self) -> list[int]:
        """The folds to run."""
        return list(range(self.number_of_folds)) if self.run_folds is None else self.run_folds

    @property
    def hash(self) -> str:
        """Twelve digits that name this protocol, seeds and the choice of folds apart.

        A run's numbers do not depend on which other seeds and folds are run: adding some later
        keeps the hash. Nor do they on where files lie: that the data are the same is known by
        the rows' fingerprint.
        """
        content = self.model_dump(exclude={"seeds", "run_folds"})
        for arguments in content["data"].values():
            for place in ("root", "unpacked"):
                arguments.pop(place, None)
        for arguments in content["backbone"].values():
            if isinstance(arguments.get("weights"), str):
                arguments["weights"] = Path(arguments["weights"]).name
        return content_hash(content)


class HeadConfig(StrictModel):
    """What a method may say about the last layers.

    The protocol's embedding size is shared equally by the spaces, or each gets all of it where
    the protocol says ``equal_total_dimension: false``.
    """

    spaces: Annotated[list[Literal["euclidean", "hyperbolic"]], Field(min_length=1), Distinct] = [
        "euclidean"
    ]
    initial_radius: Positive | None = None

    @model_validator(mode="after")
    def _radius_needs_a_hyperbolic_space(self):
        if self.initial_radius is not None and "hyperbolic" not in self.spaces:
            raise ValueError(
                "initial_radius is the tangent norm of a hyperbolic space: add hyperbolic to "
                "spaces, or leave initial_radius out"
            )
        return self


class RegularizerConfig(StrictModel):
    """A second term of the objective.

    A loss (HIERLoss) is added through PML's MultipleLosses; a regularizer goes in as the first
    loss's ``embedding_regularizer`` or ``weight_regularizer``.
    """

    use: Spec
    weight: Positive = 1.0
    on: Literal["embeddings", "weights"] | None = None
    lr: Positive | None = None


class SearchRange(StrictModel):
    """What ``search`` may try for one setting: low to high, an increasing grid, or choices.

    A range between whole numbers holds whole numbers.
    """

    low: Number | None = None
    high: Number | None = None
    log: bool = False
    grid: Annotated[list[Number], Field(min_length=2)] | None = None
    choices: Annotated[list[str | bool | Number], Field(min_length=2)] | None = None

    @model_validator(mode="after")
    def _one_kind(self):
        has_range = self.low is not None and self.high is not None
        if has_range + (self.grid is not None) + (self.choices is not None) != 1 or (
            (self.low is None) != (self.high is None)
        ):
            raise ValueError("expected either low with high, or grid, or choices")
        if has_range and not self.low < self.high:
            raise ValueError(f"low must be less than high, got {self.low} and {self.high}")
        if self.log and (not has_range or self.low <= 0):
            raise ValueError("log needs low and high, both greater than 0")
        if self.grid is not None and sorted(set(self.grid)) != self.grid:
            raise ValueError(f"grid must increase, got {self.grid}")
        # 1 == True, but they are different choices.
        if self.choices is not None and len(set(map(repr, self.choices))) < len(self.choices):
            raise ValueError(f"choices must differ from each other, got {self.choices}")
        return self

    @property
    def extremes(self) -> list:
        """The values among which, or between which, all others lie."""
        return self.grid or self.choices or [self.low, self.high]


class TunedConfig(StrictModel):
    """How a method's settings were found; ``search`` writes it, nothing that runs reads it."""

    metric: str
    value: Finite
    seeds: list[int]
    protocol: str
    diverged: Annotated[int, Field(ge=0)] = 0
    at_edge: list[str] = []


class MethodConfig(StrictModel):
    """Everything in which methods of one benchmark may differ.

    The keys from ``search`` on say how the settings came about and what is known to be unequal:
    they change no number.
    """

    about: str = ""
    loss: Spec
    regularizer: RegularizerConfig | None = None
    miner: Spec | None = None
    loss_lr: Positive | None = None
    loss_weight_decay: NotNegative = 0.0
    head: HeadConfig = HeadConfig()
    # The method that this one is the flat control of.
    flat_twin_of: str | None = None
    search: dict[str, SearchRange] = {}
    search_trials: Count | None = None
    tuned: TunedConfig | None = None
    # Says so where trunk and head hold more or fewer parameters than other methods' do.
    different_parameters: bool = False
    different_search_trials: bool = False

    @model_validator(mode="after")
    def _searches_its_own_settings(self):
        content = self.model_dump(include=set(_SETTINGS))
        for path in self.search:
            start = value_at(content, path)
            if not isinstance(start, int | float | str):
                raise ValueError(
                    f"search: {path!r} is no setting of this method with a value to start from: "
                    f"{nearest(path, _paths(content))}"
                )
        rates = {"loss_lr": self.loss_lr}
        if self.regularizer is not None:
            rates["regularizer.lr"] = self.regularizer.lr
        for path, rate in rates.items():
            if self.search and rate is not None and path not in self.search:
                raise ValueError(
                    f"search: {path} must be among the searched settings, for example "
                    f"{path}: {{low: 1e-4, high: 10, log: true}} (an untuned learning rate of "
                    f"proxies is the commonest unfairness)"
                )
        return self

    @classmethod
    def unknown_key_message(cls, key: str) -> str:
        home = _protocol_home(key)
        if home is None:
            return super().unknown_key_message(key)
        allowed = ", ".join(_SETTINGS)
        return (
            f"{key!r} is a protocol key: it must be the same for all methods, so it belongs in "
            f"the benchmark config, at {home} (a method may set only {allowed})"
        )

    @property
    def hash(self) -> str:
        """Twelve digits that name these settings."""
        return content_hash(self.model_dump(include=set(_SETTINGS)))

    def with_values(self, values: Mapping[str, Any]) -> "MethodConfig":
        """These settings with other values at some of their paths, validated.

        Args:
            values: path, such as ``loss.SoftTripleLoss.la``, -> value.

        Raises:
            pydantic.ValidationError: a value that the setting cannot have.
        """
        content = copy.deepcopy(self.model_dump(exclude_unset=True))
        for path, value in values.items():
            *parents, last = path.split(".")
            section = content
            for parent in parents:
                section = section.setdefault(parent, {})
            section[last] = value
        return MethodConfig.model_validate(content)


# What makes up a method; its other keys are about it.
_SETTINGS = ("loss", "regularizer", "miner", "loss_lr", "loss_weight_decay", "head")


class PublishedConfig(StrictModel):
    """A number that others have published, shown beside the measured one."""

    method: str
    space: Literal["euclidean", "hyperbolic"] | None = None
    # As a table calls it (R@1, R-Precision, MAP@R, R@10, ...) or as rows do.
    metric: str
    # In percent, as papers print it.
    value: Annotated[float, Field(ge=0, le=100)]
    source: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _known_metric(self):
        if metric_key(self.metric) is None:
            raise ValueError(
                f"unknown metric {self.metric!r}: expected R@1, R@K, R-Precision or MAP@R"
            )
        return self


class BenchmarkConfig(StrictModel):
    """A benchmark: its name, its protocol, and its methods by name."""

    name: Annotated[str, Field(pattern=f"^{_NAME}$")]
    protocol: ProtocolConfig
    methods: Annotated[dict[str, MethodConfig], Field(min_length=1)]
    # Adds the flat twin of each hyperbolic method: see curvature_control.py.
    curvature_control: bool = False
    # What reports compare the others with; None: the first Euclidean method.
    baseline: str | None = None
    published: list[PublishedConfig] = []

    @model_validator(mode="after")
    def _baseline_is_a_method(self):
        if self.baseline is not None and self.baseline not in self.methods:
            raise ValueError(
                f"baseline {self.baseline!r} is none of the methods: "
                f"{nearest(self.baseline, self.methods)} (baseline=null: the first Euclidean one)"
            )
        return self


def value_at(content: Any, path: str) -> Any:
    """What nested mappings hold at a dotted path, None where there is no such path."""
    for key in path.split("."):
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _paths(content, prefix=""):
    """Dotted paths of all single values."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{key}.")
        elif isinstance(value, int | float | str):
            yield f"{prefix}{key}"


def read_benchmark(path: Path) -> tuple[dict, list[Path]]:
    """What a benchmark config says together with those it extends, not validated.

    Returns:
        The mapping, and the files it came from, the given one first.

    Raises:
        InputError: a file cannot be read, or extends itself.
    """
    return read_extended(path, _replaces)


def load_benchmark(path: Path, overrides: list[str] | None = None) -> BenchmarkConfig:
    """Read and validate a benchmark config and the methods it names.

    Args:
        path: YAML file with ``name``, ``protocol`` and ``methods``, or with ``extends: FILE`` and
            what differs from that one; a method is the name of a file in the folder ``methods``
            beside it, where those tuned for this benchmark, in a folder of the file's name, come
            first, and then in the same places beside the file that it extends.
        overrides: ``key=value`` with a dotted key of that file and a value in YAML.

    Raises:
        InputError: naming the file, the key and how to mend it.
    """
    path = Path(path)
    content, files = read_benchmark(path)
    for override in overrides or []:
        _apply_override(content, override)
    names = content.get("methods")
    if names is None and "loss" in content:
        raise InputError(
            f"{path} is a method: give the benchmark that names it, such as "
            f"benchmark_configs/digits.yaml"
        )
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise InputError(f"{path}: methods must be a list of method names, got {names!r}")
    if len(set(names)) != len(names):
        raise InputError(f"{path}: methods must differ from each other, got {names}")
    for name in names:
        # Runs get folders of these names.
        if not re.fullmatch(_NAME, name):
            raise InputError(
                f"{path}: a method's name consists of letters, digits and . _ -, got {name!r}: "
                f"methods are looked up in the folder {METHOD_FOLDER} beside the config"
            )
    folder = path.parent / METHOD_FOLDER
    homes = [(file.parent / METHOD_FOLDER, file.stem) for file in files]
    folders = [place for home, stem in homes for place in (home / stem, home)]
    methods = {}
    for name in names:
        file = next((f for p in folders if (f := p / f"{name}.yaml").is_file()), None)
        if file is None:
            known = {f.stem for p in folders for f in p.glob("*.yaml")}
            raise InputError(
                f"{path}: no method {name!r} ({folder / name}.yaml): "
                + (nearest(name, known) if known else _NO_METHODS)
            )
        methods[name] = _validated(MethodConfig, read_mapping(file), file)
    return _validated(BenchmarkConfig, {**content, "methods": methods}, path)


def _replaces(path, parent, child):
    """Whether a child's section is another choice than its parent's, not a change to it."""
    if path in ("protocol.data", "protocol.backbone"):
        return set(parent) != set(child)
    return path == "protocol.splits" and _kind_of_splits(parent) != _kind_of_splits(child)


def _apply_override(content, override):
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(
            f"an override is key=value, for example protocol.epochs=3: got {override!r}"
        )
    value = parse_yaml(text, f"the override {override}")
    *parents, last = key.split(".")
    section = content
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise InputError(f"the override {override}: {parent!r} is not a section of the config")
    section[last] = value


def _validated(model, content, source):
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        # The kind of splits is ours, no key of the user's.
        where = ".".join(str(part) for part in first["loc"] if part not in _SPLITS_TAGS)
        cause = first.get("ctx", {}).get("error")
        problem = str(cause) if isinstance(cause, ValueError) else _plain(first)
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        at = f"{source}: {where}: " if where else f"{source}: "
        raise InputError(f"{at}{problem}{more}") from None


def _plain(error):
    if error["type"] == "missing":
        return "this key is required"
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, got {error['input']!r}"


def _protocol_home(key):
    """Where in a benchmark config a key of this name belongs, or None."""
    if key in ProtocolConfig.model_fields:
        return f"protocol.{key}"
    for name, field in ProtocolConfig.model_fields.items():
        for section in _sections(field.annotation):
            if key in section.model_fields:
                return f"protocol.{name}.{key}"
    return {"lr": "protocol.optimizer.trunk_lr", "optimizers": "protocol.optimizer"}.get(key)


def _sections(annotation):
    """The config sections that an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, StrictModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]
