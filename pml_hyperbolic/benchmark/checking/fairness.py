"""Differences that make a comparison unfair although each method is valid by itself."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity
from torch.nn import Module

from ...distances import PoincareDistance
from ...errors import InputError
from ..assembly.objective import build_objective
from ..assembly.pipeline import Pipeline
from ..config import BenchmarkConfig, MethodConfig
from ..config.validation_message import validation_message


@dataclass(frozen=True)
class MethodFacts:
    """Properties of a method that are known once it is built.

    Attributes:
        parameters: number of trainable parameters of trunk and head together.
        total_dimension: of its embedding.
        images: number of images in the smallest split that is scored.
        doubts: sentences on what may put the method at a disadvantage.
    """

    parameters: int
    total_dimension: int
    images: int
    doubts: tuple[str, ...]


def method_facts(pipeline: Pipeline) -> MethodFacts:
    """Collect the properties of a method, and build its loss with every extreme of its search.

    Raises:
        InputError: the search space contains a value that the method cannot have.
    """
    _check_search_space(pipeline)
    return MethodFacts(
        parameters=sum(_trainable(module) for module in pipeline.models.values()),
        total_dimension=pipeline.total_dimension,
        images=min(len(pipeline.subsets[split]) for split in ("validation", "test")),
        doubts=tuple(_doubts(pipeline)),
    )


def check_fairness(config: BenchmarkConfig, facts: Mapping[str, MethodFacts]) -> list[str]:
    """Refuse undeclared differences between methods that would make the comparison unfair.

    Args:
        config: the benchmark.
        facts: properties of each of its methods.

    Returns:
        Sentences to show: differences that methods declare, and doubts that are no error.

    Raises:
        InputError: the comparison is unfair; the message names the methods, the difference and the
            key that declares it.
    """
    _check_twins(config.methods)
    _check_recall(config, facts)
    notes = [
        *_check_parameters(config.methods, facts),
        *_check_search_trials(config.methods),
        *_protocol_doubts(config),
    ]
    for name, method in config.methods.items():
        notes += [f"{name}: {doubt}" for doubt in facts[name].doubts]
        if method.tuned is not None and method.tuned.at_edge:
            notes.append(
                f"{name}: the search chose {' and '.join(method.tuned.at_edge)} at the edge of "
                f"what it tried: extend the range there, or search again with more trials"
            )
    return notes


def _check_twins(methods):
    first: dict[str, str] = {}
    for name, method in methods.items():
        other = first.setdefault(method.hash, name)
        if other != name:
            raise InputError(
                f"{other} and {name} are the same method under two names, which would give it two "
                f"chances to come out best: leave one out"
            )


def _check_recall(config, facts):
    # A query is not searched in itself.
    references = min(fact.images for fact in facts.values()) - 1
    largest = max(config.protocol.evaluation.recall_at, default=0)
    if largest > references:
        raise InputError(
            f"protocol.evaluation.recall_at has {largest}, but a query has only {references} "
            f"references in the smallest scored split: choose K <= {references}"
        )


def _check_parameters(methods, facts):
    """Methods that declare no difference must have the same number of trainable parameters."""
    plain = {name: facts[name] for name in methods if not methods[name].different_parameters}
    counts = Counter(fact.parameters for fact in plain.values())
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        like = next(name for name, fact in plain.items() if fact.parameters == usual)
        name, fact = next(pair for pair in plain.items() if pair[1].parameters != usual)
        raise InputError(
            f"{name} has {fact.parameters} trainable parameters in trunk and head and "
            f"{fact.total_dimension} dimensions, {like} has {usual} and "
            f"{facts[like].total_dimension}: make them equal "
            f"(protocol.equal_total_dimension=true), or declare it with different_parameters: "
            f"true in {name}"
        )
    return [
        f"{name} declares different_parameters: {facts[name].parameters} trainable parameters in "
        f"trunk and head, {facts[name].total_dimension} dimensions"
        for name in methods
        if name not in plain
    ]


def _check_search_trials(methods):
    """Methods that declare no difference must have been tuned equally, or not at all."""
    plain = {name: m for name, m in methods.items() if not m.different_search_trials}
    for what, of in (
        ("search trials", lambda m: m.search_trials or 0),
        ("a search under protocol", lambda m: m.tuned.protocol if m.tuned else "none"),
        ("search seeds", lambda m: m.tuned.seeds if m.tuned else "none"),
    ):
        found = {name: of(method) for name, method in plain.items()}
        like = next(iter(found), None)
        for name, value in found.items():
            if value != found[like]:
                raise InputError(
                    f"{name} had {what}: {value}, {like}: {found[like]}: tune all methods with one "
                    f"call of `pml-hyperbolic search`, or declare it with "
                    f"different_search_trials: true in {name}"
                )
    return [
        f"{name} declares different_search_trials: {methods[name].search_trials or 0} trials"
        for name in methods
        if name not in plain
    ]


def _protocol_doubts(config):
    sampler = config.protocol.sampler
    if sampler.samples_per_class == 1:
        yield (
            "protocol.sampler.samples_per_class is 1: pair-based losses see no positive pair, "
            "proxy-based losses do not need one"
        )
    if sampler.samples_per_class == sampler.batch_size:
        yield (
            "a batch has a single class: pair-based losses see no negative pair, proxy-based "
            "losses do not need one"
        )
    if "identity" in config.protocol.backbone and config.protocol.optimizer.trunk_lr is not None:
        yield (
            "protocol.optimizer.trunk_lr does nothing, because backbone identity has nothing to "
            "train: leave it out"
        )


def _check_search_space(pipeline):
    method = pipeline.method
    for path, allowed in method.search.items():
        for value in allowed.extremes:
            where = f"{pipeline.name}: search: {path} = {value}"
            try:
                candidate = method.with_values({path: value})
            except ValidationError as error:
                raise InputError(f"{where}: {validation_message(error)}") from None
            _build(candidate, where, pipeline)


def _build(candidate: MethodConfig, where, pipeline):
    build_objective(
        candidate,
        where=where,
        num_classes=len(pipeline.classes.train),
        sizes=pipeline.sizes,
        labels=pipeline.subsets["train"].labels,
    )


def _doubts(pipeline):
    radius, distance = pipeline.method.head.initial_radius, pipeline.distance
    limit = None if distance is None else distance.saturation_norm
    if distance is not None and radius is not None and limit is not None and radius >= limit:
        clip = f"clip_radius {distance.clip_radius:g}"
        if distance.clip == "smooth":
            clip = f"{limit:.3g}, from where a smooth clip is within 1 % of its {clip}"
        yield (
            f"head.initial_radius {radius:g} is not below {clip}: all embeddings are clipped at "
            f"the start, so that hyperbolic ranking equals cosine ranking"
        )
    if distance is None:
        raw = [d for d in _distances(pipeline.loss) if _keeps_norms(d)]
        if raw:
            yield (
                f"it trains on {type(raw[0]).__name__} of embeddings that are not normalised, "
                f"but is ranked by cosine similarity, which ignores their norms"
            )
    if pipeline.miner is not None:
        of_loss, of_miner = (
            any(isinstance(d, PoincareDistance) for d in _distances(module))
            for module in (pipeline.loss, pipeline.miner)
        )
        if of_loss and not of_miner:
            yield (
                "its loss is hyperbolic, but its miner is not: give the miner the same distance, "
                "or pairs are mined in another geometry than they are trained in"
            )


def _distances(module: Module):
    return [m for m in module.modules() if isinstance(m, BaseDistance)]


def _keeps_norms(distance):
    return not distance.normalize_embeddings and not isinstance(distance, CosineSimilarity)


def _trainable(module: Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
